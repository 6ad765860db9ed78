"""The REST API described as OpenAPI 3.1. https://spec.openapis.org/oas/v3.1.1.html"""

from importlib import metadata
from typing import Any, Final

Json = dict[str, Any]
TEXT: Final = {"type": "string"}
WHOLE: Final = {"type": "integer"}
REAL: Final = {"type": "number"}
MAYBE_TEXT: Final = {"type": ["string", "null"]}
MAYBE_WHOLE: Final = {"type": ["integer", "null"]}
MAYBE_REAL: Final = {"type": ["number", "null"]}


def _object(
    required: dict[str, Any], optional: dict[str, Any] | None = None, *, closed: bool = False
) -> dict[str, Any]:
    made = {"type": "object", "required": list(required), "properties": required | (optional or {})}
    return made | ({"additionalProperties": False} if closed else {})


def _list(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


PAGED: Final = {"total": WHOLE, "page": WHOLE, "pages": WHOLE}
POLICY: Final = _object(
    {},
    {key: _list(TEXT) for key in ("allow", "deny", "review")}
    | {key: {"enum": ["pass", "review", "fail"]} for key in ("unlisted", "unknown", "misdeclared", "unseen")}
    | {"alpha": REAL, "threshold": REAL, "owner": TEXT},
)
ENDPOINT: Final = _object(
    {"name": TEXT, "target": TEXT},
    {"declared": TEXT, "model": TEXT, "budget": WHOLE, "rate": TEXT, "timeout": REAL, "max_seconds": REAL,
     "references": _list(TEXT), "facts": {"type": "object"}, "seen": {"type": "object"}},
    closed=True,
)  # fmt: skip
MATCH: Final = _object(
    {"target": {**TEXT, "description": "such as openai:https://host/v1#model or http://127.0.0.1:8080/v2/models/m"}},
    {"budget": WHOLE, "rate": {**TEXT, "description": "such as 5/s or 100/min"}, "timeout": REAL, "max_seconds": REAL,
     "references": _list(TEXT), "alpha": REAL, "seed": WHOLE},
    closed=True,
)  # fmt: skip
SCHEMAS: Final[Json] = {
    "Error": _object({"error": TEXT}),
    "Reference": _object(
        {"name": TEXT, "role": TEXT, "license": MAYBE_TEXT, "parent": MAYBE_TEXT, "source": MAYBE_TEXT,
         "input": {"type": "object"}, "digest": TEXT, "quarantined": MAYBE_TEXT}
    ),
    "References": _object({"references": _list(_ref("Reference")), **PAGED}),
    "WholeReference": {
        "allOf": [
            _ref("Reference"),
            _object({
                "ancestors": _list(_object({"name": TEXT, "known": {"type": "boolean"}, "license": MAYBE_TEXT})),
                "children": _list(TEXT),
                "obligations": _list(_object({"licence": TEXT, "says": TEXT, "when": TEXT, "shows": MAYBE_TEXT})),
            }),
        ]
    },
    "Job": _object(
        {"id": TEXT, "kind": {"enum": ["match", "audit"]}, "title": TEXT,
         "state": {"enum": ["waiting", "running", "stopping", "done", "failed", "cancelled", "interrupted"]},
         "begun": REAL, "ended": MAYBE_REAL, "answered": WHOLE, "most": MAYBE_WHOLE, "outcome": MAYBE_TEXT,
         "why": MAYBE_TEXT}
    ),
    "Jobs": _object({"jobs": _list(_ref("Job")), **PAGED}),
    "Start": {
        "oneOf": [
            _object({"match": _ref("Match")}, {"dry_run": {"type": "boolean"}}, closed=True),
            _object({"audit": _ref("Audit")}, {"dry_run": {"type": "boolean"}}, closed=True),
        ]
    },
    "Match": MATCH,
    "Audit": _object(
        {"endpoint": {**_list(ENDPOINT), "minItems": 1}},
        {"policy": POLICY, "retention": {"type": "object"}, "seed": WHOLE},
        closed=True,
    ),
    "Cost": _object({"cost": _list(_object({"endpoint": TEXT, "says": TEXT}))}),
    "Result": _object(
        {"schema": {"enum": ["probe-match/verdict/1", "probe-match/audit/1"]}},
    ),
    "Answers": _object(
        {"endpoint": TEXT, "reference": MAYBE_TEXT, "erased": MAYBE_TEXT,
         "answers": _list(_object({"number": WHOLE, "probe": TEXT, "said": TEXT, "known": TEXT,
                                   "alike": {"type": ["boolean", "null"]}}))}
    ),
    "Watches": _object(
        {"watches": _list(_object(
            {"target": TEXT, "state": {"enum": ["alarm", "unchanged", "begun"]}, "begun": REAL, "last": MAYBE_REAL,
             "needed": REAL, "alarm": MAYBE_WHOLE,
             "rounds": _list(_object({"ended": MAYBE_REAL, "text_p": REAL, "logprobs_p": MAYBE_REAL,
                                      "evidence": REAL}))}
        ))}
    ),
}  # fmt: skip
SEARCH: Final[Json] = {"name": "search", "in": "query", "schema": TEXT, "description": "words that all must occur"}
PAGE: Final[Json] = {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 1}}
PER_PAGE: Final[Json] = {
    "name": "per_page", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
}  # fmt: skip
NAME: Final[Json] = {"name": "name", "in": "query", "required": True, "schema": TEXT}
ID: Final[Json] = {"name": "id", "in": "path", "required": True, "schema": TEXT}
FORM: Final[Json] = {
    "name": "form", "in": "path", "required": True, "schema": {"enum": ["json", "csv", "html", "sarif"]},
}  # fmt: skip
WHICH: Final[Json] = {
    "name": "endpoint", "in": "query", "schema": TEXT, "description": "of an audit; the first unless told",
}  # fmt: skip


def description() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "probe-match console",
            "version": metadata.version("probe-match"),
            "description": "Which known model stands behind an endpoint, and under which licence.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": {
            "/openapi.json": {"get": _operation("openapi", "This document", {"type": "object"}, [])},
            "/references": {
                "get": _operation("references", "References", _ref("References"), [SEARCH, PAGE, PER_PAGE])
            },
            "/reference": {"get": _operation("reference", "A reference", _ref("WholeReference"), [NAME])},
            "/jobs": {
                "get": _operation("jobs", "Jobs, newest first", _ref("Jobs"), [PAGE, PER_PAGE]),
                "post": _start(),
            },
            "/jobs/{id}": {"get": _operation("job", "A job as it is now", _ref("Job"), [ID])},
            "/jobs/{id}/result": {"get": _operation("result", "The verdict or report", _ref("Result"), [ID])},
            "/jobs/{id}/answers": {
                "get": _operation("answers", "What an endpoint answered", _ref("Answers"), [ID, WHICH])
            },
            "/jobs/{id}/export/{form}": {"get": _file()},
            "/jobs/{id}/cancel": {"post": _operation("cancel", "Ask nothing more", _ref("Job"), [ID])},
            "/jobs/{id}/resume": {"post": _operation("resume", "Go on where it was cut short", _ref("Job"), [ID])},
            "/watches": {"get": _operation("watches", "Watched endpoints, alarms first", _ref("Watches"), [])},
        },
        "components": {
            "schemas": SCHEMAS,
            "responses": {"Error": {"description": "What is wrong, in a line", "content": _content(_ref("Error"))}},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _content(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(name: str, says: str, schema: Any, parameters: list[Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": says,
        "parameters": parameters,
        "responses": {
            "200": {"description": says, "content": _content(schema)},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }


def _start() -> dict[str, Any]:
    made = _operation("start", "Start a match or an audit, or say what it may cost", _ref("Cost"), [])
    made["requestBody"] = {"required": True, "content": _content(_ref("Start"))}
    made["responses"]["201"] = {"description": "The new job", "content": _content(_ref("Job"))}

    return made


def _file() -> dict[str, Any]:
    made = _operation("export", "A result as a file", {}, [ID, FORM])
    made["responses"]["200"]["content"] = {
        kind: {"schema": {}} for kind in ("application/json", "text/csv", "text/html", "application/sarif+json")
    }
    return made
