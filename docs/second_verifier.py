"""Checks an opened bundle without probe-match: python second_verifier.py CASE.mfpb A.pem B.pem (roots). What raises is void."""
import ast, base64, functools, hashlib, hmac, io, json, math, subprocess, sys, zipfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from scipy.special import betainc, betaincinv
NAMES = ("result.json", "opened/derivation.json")
ALL = {"VERIFY.md", "custody.jsonl", "book.jsonl", "statement.dsse.json", *NAMES} | {f"opened/{name}" for name in ("exchanges.jsonl", "key.hex", "leaves.jsonl", "pool.npz")}
mac = functools.partial(hmac.digest, digest="sha256")
def need(holds, what):
    if not holds: raise ValueError(what)
def sha(data): return "sha256:" + hashlib.sha256(data).hexdigest()
def canonical(value): return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
def parsed(data): return need(canonical(value := json.loads(data)) == data, "JSON is spelt otherwise") or value
def raw(text): return need(base64.b64encode(data := base64.b64decode(text)).decode() == text, "base64 is spelt otherwise") or data
def unsealed(data, kind):  # the predicate in a DSSE envelope, its subjects, and the key that signed it
    (seal,), payload, mime = parsed(data)["signatures"], raw(parsed(data)["payload"]), "application/vnd.in-toto+json"
    whole = {"payload": parsed(data)["payload"], "payloadType": mime, "signatures": [{name: seal[name] for name in ("keyid", "sig")}]}
    signed, statement = b"DSSEv1 28 %s %d %s" % (mime.encode(), len(payload), payload), parsed(payload)
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(seal["keyid"])).verify(raw(seal["sig"]), signed)
    need((parsed(data), statement["_type"]) == (whole, "https://in-toto.io/Statement/v1") and statement["predicateType"] == f"https://probe-match.dev/{kind}/v1", "a seal")
    return statement["predicate"], {s["name"]: "sha256:" + s["digest"]["sha256"] for s in statement["subject"]}, seal["keyid"]
def unzipped(data):  # the files in a zip, and the zip that bundles make of them
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out := io.BytesIO(), "w") as again:
        need(sum(member.file_size for member in archive.infolist()) <= 1 << 29, "too many bytes")
        files = {name: archive.read(name) for name in sorted(archive.namelist())}
        for name in files:
            (info := zipfile.ZipInfo(name)).external_attr = 0o100644 << 16
            again.writestr(info, files[name])
    return files, out.getvalue()
def pool_digest(data):  # over the header, and type, shape and SHA-256 of each array
    told = {name[:-4]: (ast.literal_eval(raw[10:(at := 10 + int.from_bytes(raw[8:10], "little"))].decode().strip()), raw[at:])
            for name, raw in unzipped(data)[0].items()}
    digests = {name: [about["descr"], list(about["shape"]), sha(body)[7:]] for name, (about, body) in told.items()}
    return sha(canonical(digests | json.loads(told["header"][1]) | {"header": 0}).replace(b'"header":0,', b""))
def vouches(token, line, root):  # whether openssl accepts a token over a line
    return not subprocess.run(["openssl", "ts", "-verify", "-digest", sha(line)[7:], "-in", "/dev/stdin", "-CAfile", root], input=token, capture_output=True).returncode
def counted(told, rule, beacon):  # the p-values follow from the hits, by the rule that was committed to
    found, times = told["finding"], max(told["searched"], 1) * max(told["audits"], 1) * (1 if beacon else 2.0**40)
    k, n, most = (found[name] for name in ("hits", "ways", "nearest_hits"))
    worst = max(betaincinv(most + 1, n - most, rule["confidence"]), told["floor"]) if most < n else 1
    single = max(betainc(k, n - k + 1, worst), 1e-300) if k else 1
    again = {"bound": worst, "p_query": single, "factor": times, "p_corrected": min(1, single * times)}
    enough = found["answered"] >= 0.8 * n and 1 / (min(found["peers"].values()) + 1) <= found["p_model"] <= rule["alpha"]
    matches = found["outcome"] != "match" or enough and found["p_corrected"] <= rule["threshold"]
    need(matches and all(math.isclose(found[name], value) for name, value in again.items()), "a p-value")
def bound(files, commitment, run, leaves):  # everything that was opened is what the sealed links name
    key, result, derivation = bytes.fromhex(files["opened/key.hex"].decode()), *(parsed(files[name]) for name in NAMES)
    salts = mac(mac(hashlib.sha256(canonical([sha(canonical(commitment)), run["beacon"]])).digest(), key), b"probe-match/leaves/1\1")
    level = [hashlib.sha256(b"\0" + mac(salts, b"leaf\0" + i.to_bytes(8, "big")) + x).digest() for i, x in enumerate(leaves)]
    while len(level) > 1: level = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2])] + level[len(level) // 2 * 2:]
    said = (sha(b"probe-match/owner-key/1\0" + key), pool_digest(files["opened/pool.npz"]), level[0].hex(), len(leaves),
            sha(b"".join(n.to_bytes(8, "little", signed=True) for n in derivation["labels"])), *(sha(files[name]) for name in NAMES), result["finding"]["outcome"], result["commitment"], run["commitment"])
    need(said == (commitment["key"], commitment["pool"], run["root"], run["leaves"], commitment["labels"], run["result"], result["derivation"],
                  run["outcome"], *(sha(canonical(commitment)),) * 2), "something that was opened is not what was sealed")
    counted(result, commitment, run["beacon"])
    answers = {(told := parsed(line))["sha256"]: told.get("body") for line in files["opened/exchanges.jsonl"].splitlines()}
    need(set(answers) == {parsed(leaf).get("response") for leaf in leaves} - {None} and all(
         sha(raw(body)) == name for name, body in answers.items() if body is not None), "other answers than the leaves name")
    need([None, *map(sha, (custody := files["custody.jsonl"].splitlines(keepends=True))[:-1])] == [parsed(x[:-1])["previous"] for x in custody], "custody")
def check(data, roots):  # the zip, the seal over all files, the chain of links, two authorities of time, and the rest
    files, again = unzipped(data)
    told, subjects, key = unsealed(files["statement.dsse.json"], "evidence-bundle")
    subjects["statement.dsse.json"] = sha(files["statement.dsse.json"])
    need(again == data and set(files) > ALL and subjects == {name: sha(files[name]) for name in files}, "a file was changed, or the zip")
    lines, chain, good = files["book.jsonl"].split(b"\n")[:-1], [], {}
    for line in lines:
        link, about, sealer = unsealed(line, "claim-link")
        need(link["previous"] == (sha(canonical(chain[-1])) if chain else None) and sealer == key and about == {link["schema"]: sha(canonical(link))}, "a link")
        chain.append(link)
    cases = sum("serial" in link for link in chain)
    need((chain[-2]["serial"], parsed(files["result.json"])["audits"], told["links"]) == (cases, cases, len(lines)) and "serial" not in chain[-1], "another number of cases")
    bound(files, chain[-2], chain[-1], files["opened/leaves.jsonl"].split(b"\n")[:-1])
    for name in sorted(set(files) - ALL):
        number = int(name.split("-")[1])
        (root,) = [root for root in roots if vouches(files[name], lines[number - 1], root)]
        good.setdefault(number, []).append(root)
        need(name == f"timestamps/link-{number}-{len(good[number])}.tsr", "an unknown file")
    good = [good.get(len(lines) - 1, []), good.pop(len(lines), []), *good.values()]
    need(min(map(len, good[:2])) >= 2 and all(len(set(roots)) == len(roots) for roots in good), "two authorities do not vouch")
    return key
if __name__ == "__main__": print("valid: every file, link, leaf, answer, p-value and time, sealed by", check(open(sys.argv[1], "rb").read(), sys.argv[2:]))
