"""Reads a log from docs/FORMAT.md alone, and shares no code with the library.

Prints one JSON object for each directory named: {"state", "first", "last", "records": [sha256 of each],
"file", "offset"}.
"""

import hashlib
import json
import os
import struct
import sys

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc(data, seed=0):
    value = seed ^ 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


class Corrupt(Exception):
    def __init__(self, file, offset, why):
        super().__init__(f"{file} at {offset}: {why}")
        self.file, self.offset = file, offset


def checked(block, magic):
    """The 128 bytes of a header or META slot, or None."""
    block = block[:128]
    if len(block) < 128 or block[:8] != magic:
        return None
    stored = struct.unpack_from("<I", block, 12)[0]
    return block if crc(block[:12] + b"\0\0\0\0" + block[16:]) == stored else None


def read_meta(directory):
    data = open(os.path.join(directory, "META"), "rb").read()
    best, damaged = None, None
    for at in (0, 65536):
        block = checked(data[at : at + 128], b"URINGMET")
        if block is None:
            damaged = at if any(data[at : at + 4096]) else damaged
            continue
        version, = struct.unpack_from("<I", block, 8)
        if version != 1:
            raise Corrupt("META", at, "newer version")
        names = "counter epoch sealed activated low_lsn low_seq sealed_lsn sealed_offset sealed_chain"
        meta = dict(zip(names.split(), struct.unpack_from("<QIIQQQQQI", block, 32)))
        meta["uuid"] = block[16:32]
        if best is None or meta["counter"] > best["counter"]:
            best = meta
    if best is None:
        raise Corrupt("META", damaged or 0, "no valid slot")
    best["damaged"] = damaged or 0
    return best


def read_header(data, name, meta, sequence):
    blocks = [checked(data[:128], b"URINGWAL")]
    unit = 4096
    while unit <= 65536:
        block = checked(data[unit : unit + 128], b"URINGWAL")
        if block and struct.unpack_from("<I", block, 56)[0] == unit:
            blocks.append(block)
        unit *= 2
    block = next((b for b in blocks if b), None)
    if block is None:
        raise Corrupt(name, 0, "no header")
    names = "sequence first_lsn salt unit window length prev_seq prev_lsn prev_chain epoch millis whole"
    header = dict(zip(names.split(), struct.unpack_from("<QQ8sIIQQQIIQI", block, 32)))
    if block[16:32] != meta["uuid"] or header["sequence"] != sequence:
        raise Corrupt(name, 0, "another log or segment")
    if header["whole"] and len(data) < header["length"]:
        raise Corrupt(name, len(data), "cut short")
    return header


FRAME = struct.Struct("<IIIIIIQQIIIIQ")


def frame_at(data, offset, header):
    """(fields, seed) when a frame of this life begins here, else None."""
    raw = data[offset : offset + 64]
    if len(raw) < 64 or raw[:4] != b"URF1":
        return None
    seed = crc(header["salt"] + struct.pack("<Q", offset))
    fields = FRAME.unpack(raw)
    return (fields, seed) if crc(raw[8:], seed) == fields[1] else None


def read_segment(directory, meta, sequence, lsn, chain, before):
    """All whole frames in order; gives what findTail needs."""
    name = f"{sequence:016}.wal"
    path = os.path.join(directory, name)
    if not os.path.exists(path):
        raise Corrupt(name, 0, "missing")
    data = open(path, "rb").read()
    header = read_header(data, name, meta, sequence)
    if lsn is not None and lsn < header["first_lsn"]:
        raise Corrupt(*before, "its frames end too early")
    if lsn is not None and (header["first_lsn"] != lsn or header["prev_chain"] != chain):
        raise Corrupt(name, 0, "does not follow")
    data = data[: header["length"]]
    lsn, chain, epoch, at = header["first_lsn"], header["prev_chain"], header["epoch"], 2 * header["unit"]
    unit, records = header["unit"], []
    while at + unit <= len(data):
        found = frame_at(data, at, header)
        if found is None:
            break
        (_, head, body, size, count, kind, first, mark, when, _, before, _, _), seed = found
        length = -(-(64 + size) // unit) * unit
        fits = (first == lsn and before == chain and epoch <= when <= meta["epoch"] and mark < first
                and at + length <= len(data)
                and (count > 0 if kind == 0 else kind == 1 and count == 0 and size == 0))
        if not fits:
            raise Corrupt(name, at, "a frame that does not fit")
        payload = data[at + 64 : at + 64 + size]
        if crc(payload, seed) != body:
            break
        pos = 0
        for _ in range(count):
            n, = struct.unpack_from("<I", payload, pos)
            records.append((lsn, payload[pos + 4 : pos + 4 + n]))
            pos, lsn = pos + 4 + n, lsn + 1
        if pos != size:
            raise Corrupt(name, at, "lengths do not add up")
        chain, epoch, at = crc(struct.pack("<II", head, before)), when, at + length
    return name, header, data, records, lsn, chain, at


def check_spares(directory, meta):
    """A frame in a segment that META does not know of proves that META lost what was durable."""
    for name in sorted(os.listdir(directory)):
        if not name.endswith(".wal") or int(name[:16]) <= meta["activated"]:
            continue
        data = open(os.path.join(directory, name), "rb").read()
        try:
            header = read_header(data, name, meta, int(name[:16]))
        except Corrupt:
            continue  # zeros, or an older life
        if frame_at(data, 2 * header["unit"], header):
            raise Corrupt("META", meta["damaged"], "older than the log")


def read_log(directory):
    meta = read_meta(directory)
    check_spares(directory, meta)
    records, lsn, chain, state, name, at = [], None, 0, "clean", "", 0
    for sequence in range(meta["low_seq"], meta["activated"] + 1):
        name, header, data, found, lsn, chain, at = read_segment(
            directory, meta, sequence, lsn, chain, (name, at))
        records += found
    if meta["activated"] == 0:
        return "clean", meta, [], "", 0
    if meta["sealed"]:
        if (at, lsn - 1, chain) != (meta["sealed_offset"], meta["sealed_lsn"], meta["sealed_chain"]):
            raise Corrupt(name, at, "not where the seal says")
    else:
        state = "torn"
        if lsn - 1 < max(meta["sealed_lsn"], meta["low_lsn"] - 1):
            raise Corrupt(name, at, "ends before what was durable")
        for offset in range(at + header["unit"], len(data) - header["unit"] + 1, header["unit"]):
            found = frame_at(data, offset, header)
            if found is None:
                continue
            if found[0][7] >= lsn or offset - at >= header["window"]:
                raise Corrupt(name, at, "damage before durable records")
            state = "ambiguous"
    return state, meta, [r for r in records if r[0] >= meta["low_lsn"]], name, at


def check_snapshot(directory, meta):
    """What the manifest of a snapshot says, while nobody has opened it for writing since."""
    path = os.path.join(directory, "SNAPSHOT")
    if not os.path.exists(path):
        return
    line, digits = open(path, "rb").read().split(b"\n")[:2]
    if crc(line + b"\n") != int(digits, 16):
        raise Corrupt("SNAPSHOT", 0, "wrong checksum")
    manifest = json.loads(line)
    if manifest["version"] != 1:
        raise Corrupt("SNAPSHOT", 0, "newer version")
    if manifest["counter"] < meta["counter"]:
        return
    for entry in manifest["files"]:
        data = open(os.path.join(directory, entry["name"]), "rb").read()
        if len(data) != entry["bytes"]:
            raise Corrupt(entry["name"], min(len(data), entry["bytes"]), "another length")
        if crc(data) != entry["crc32c"]:
            raise Corrupt(entry["name"], 0, "another checksum")


def report(directory):
    try:
        state, meta, records, file, offset = read_log(directory)
        check_snapshot(directory, meta)
    except Corrupt as error:
        return {"state": "corrupt", "file": error.file, "offset": error.offset, "error": str(error)}
    return {
        "state": state,
        "first": meta["low_lsn"],
        "last": records[-1][0] if records else meta["low_lsn"] - 1,
        "records": [hashlib.sha256(data).hexdigest() for _, data in records],
        "file": file,
        "offset": offset,
    }


for name in sys.argv[1:]:
    print(json.dumps(report(name)))
