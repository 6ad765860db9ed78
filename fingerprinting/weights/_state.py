"""
The instructions of a pickled state dict, read as data: which tensors there are and where their bytes lie.

`pickletools` splits a pickle into instructions without doing any. Of these, those torch.save writes for nested dicts,
lists, numbers and tensors are understood (torch/_utils.py: _rebuild_tensor_v2, _rebuild_parameter); the only names that
may be called are in CALLED, and calling one makes a description. Any other name is refused.
"""

import pickletools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from probe_match.fingerprinting.errors import BadData

from .tensors import MAX_TENSORS

STORAGES: Final = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128",
}  # fmt: skip
CALLED: Final = ("collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter")
MAX_PICKLE: Final = 16 << 20
MAX_DEPTH: Final = 32
MAX_STEPS: Final = 1_000_000  # a tensor takes some thirty; more would take seconds and gigabytes
CONSTANTS: Final = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
}  # fmt: skip
MARK: Final = object()


@dataclass(frozen=True)
class Stored:
    """A tensor in a storage, the archive's member of that name. strides, offset: in elements."""

    storage: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class _Name:
    text: str


def tensors(text: bytes, where: str) -> Iterator[tuple[str, Stored]]:
    """The tensors and their dotted names."""
    if len(text) > MAX_PICKLE:
        raise BadData(f"the list of tensors of {where} has {len(text) >> 20} MiB; at most {MAX_PICKLE >> 20} are read")
    try:
        top = _interpret(text, where)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError, OverflowError) as error:
        raise BadData(f"{where} is not a state dict as torch.save writes it ({str(error)[:80]})") from error
    waiting: list[tuple[str, Any, int]] = [("", top, 0)]
    count = 0
    while waiting:
        name, value, depth = waiting.pop()
        count += 1
        if count > MAX_TENSORS or depth > MAX_DEPTH:
            raise BadData(f"{where} nests too much; expected at most {MAX_TENSORS} tensors in a state dict")
        if isinstance(value, Stored):
            yield name, value
        elif isinstance(value, (dict, list, tuple)):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{name}.{key}"[:2000].lstrip("."), inner, depth + 1) for key, inner in pairs]


def _interpret(text: bytes, where: str) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        above = next((i for i, item in enumerate(reversed(stack)) if item is MARK), None)
        if above is None:
            raise ValueError("items without a beginning")
        at = len(stack) - 1 - above
        items = stack[at + 1 :]
        del stack[at:]
        return items

    argument: Any
    items: Sequence[Any]
    for step, (code, argument, _) in enumerate(pickletools.genops(text)):
        if step > MAX_STEPS:
            raise ValueError(f"more than {MAX_STEPS} instructions")
        name = code.name
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in ("PROTO", "FRAME"):
            pass
        elif name == "STOP":
            return stack.pop()
        elif name == "MARK":
            stack.append(MARK)
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name.startswith(("BININT", "LONG", "BINUNICODE", "SHORT_BINUNICODE", "BINFLOAT")):
            stack.append(argument)
        elif name == "GLOBAL":
            stack.append(_Name(argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(name[-1])
            items = tuple(stack[-size:])
            if len(items) != size:
                raise ValueError("a tuple of too few items")
            stack[-size:] = [items]
        elif name in ("SETITEM", "SETITEMS"):
            items = since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            for key, value in zip(items[::2], items[1::2], strict=True):
                if not isinstance(key, (str, int)) or not isinstance(stack[-1], dict):
                    raise ValueError("a key that is no text")
                stack[-1][key] = value
        elif name in ("APPEND", "APPENDS"):
            items = since_mark() if name == "APPENDS" else [stack.pop()]
            if not isinstance(stack[-1], list):
                raise ValueError("an item of no list")
            stack[-1].extend(items)
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop(), where))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_call(stack.pop(), arguments, where))
        elif name == "BUILD":
            stack.pop()  # the version counters that a state dict carries as an attribute
        else:
            raise ValueError(f"instruction {name}")
    raise ValueError("it has no end")


def _storage(identity: Any, where: str) -> Stored:
    kind, storage, key, _, size = identity
    dtype = STORAGES.get(storage.text.removeprefix("torch ")) if isinstance(storage, _Name) else None
    if kind != "storage" or dtype is None or not isinstance(key, str):
        raise _refused(storage.text if isinstance(storage, _Name) else "", where)
    return Stored(key, dtype, (size,), (1,), 0)


def _call(called: Any, arguments: Any, where: str) -> Any:
    if not isinstance(called, _Name) or called.text not in CALLED:
        raise _refused(called.text if isinstance(called, _Name) else type(called).__name__, where)
    if called.text == CALLED[0]:
        return {}
    if called.text == CALLED[2]:
        return arguments[0]
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, Stored) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise ValueError("a tensor of no storage")
    return Stored(storage.storage, storage.dtype, shape, strides, offset)


def _refused(name: str, where: str) -> BadData:
    shown = "".join(c if c.isprintable() else "?" for c in name.replace(" ", "."))[:80]
    return BadData(
        f"{where} is a pickle that names '{shown}', which could run code; expected tensors alone: "
        "save model.state_dict(), or use safetensors"
    )
