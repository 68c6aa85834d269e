/**
 * A program that meets a limit on the size of files (RLIMIT_FSIZE), on the backend and in the directory
 * that it is given: run with SIGXFSZ ignored, as shells and services do it, it limits itself and prints
 * what every call gave. `limited` is the same on a simulated machine, where the limit is faults.
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import {
  CompletionArray,
  DSYNC,
  errnoName,
  File,
  type Io,
  IoError,
  type IoStat,
  openIo,
} from "../../io.ts";
import type { FaultOptions } from "../../testing.ts";
import { filled, openFile, readBytes, run, writeBytes } from "./support.ts";
import { storageOn } from "../storage/support.ts";

/** No file grows beyond it. */
export const LIMIT_BYTES = 65_536;

const PIECE = 24_576;
const EFBIG = 27;
const RW = { read: true, write: true, create: true };

/** What every call gives. `about` announces what the limit will do to the next call: for simulations. */
export async function limited(
  io: Io,
  directory: string,
  about: (fault: FaultOptions) => void,
): Promise<string[]> {
  const lines: string[] = [];
  const note = (what: string, res: number) =>
    void lines.push(`${what} ${res < 0 ? errnoName(-res) : res}`);
  const size = (path: string) => {
    let stat!: IoStat;
    run(io, (h) => stat = io.stat(path, h));
    return stat.size;
  };

  const path = `${directory}/a`;
  const file = openFile(io, path);
  note("write", writeBytes(io, file, filled(PIECE, 65), 0));
  note("write", writeBytes(io, file, filled(PIECE, 66), PIECE));
  about({ operation: "write", short: LIMIT_BYTES - 2 * PIECE });
  note("write across", writeBytes(io, file, filled(PIECE, 67), 2 * PIECE));
  about({ operation: "write", errno: EFBIG });
  note("write behind", writeBytes(io, file, filled(1, 68), LIMIT_BYTES));
  about({ operation: "write", errno: EFBIG });
  note("durable write behind", writeBytes(io, file, filled(1, 68), LIMIT_BYTES + 1, DSYNC));
  about({ operation: "truncate", errno: EFBIG });
  note("truncate up", run(io, (h) => io.truncate(file, LIMIT_BYTES + 1, h)));
  note("overwrite", writeBytes(io, file, filled(100, 69), LIMIT_BYTES - 100));
  note("sync", run(io, (h) => io.fdatasync(file, h)));
  note("size", size(path));
  const bytes = readBytes(io, file, 0, 2 * LIMIT_BYTES);
  lines.push(`${bytes.length} ${[0, PIECE, 2 * PIECE, LIMIT_BYTES - 1].map((at) => bytes[at])}`);

  // Above the Io: continued where it was short, and then an error with the offset.
  await using whole = await File.open(`${directory}/b`, RW, io);
  about({ operation: "write", short: LIMIT_BYTES });
  about({ operation: "write", nth: 2, errno: EFBIG });
  try {
    note("File.writeAt", await whole.writeAt(filled(100_000, 70), 0));
  } catch (error) {
    if (!(error instanceof IoError)) throw error;
    lines.push(`File.writeAt ${error.code} at ${error.offset}`);
  }
  note("size", size(`${directory}/b`));

  // An append that did not fit leaves the end where it began; the next one goes there.
  using storage = storageOn(io, { bufferBytes: 8192 });
  const fd = storage.registerFd(await File.open(`${directory}/c`, RW, io));
  const out = new CompletionArray(8);
  const finish = () => {
    while (storage.pendingCount > 0) {
      storage.park();
      storage.pollCompletions(out);
    }
  };
  storage.submitAppend(fd, filled(60_000, 71));
  finish();
  about({ operation: "write", short: LIMIT_BYTES - 60_000 });
  about({ operation: "write", nth: 2, errno: EFBIG });
  storage.submitAppend(fd, filled(7000, 72));
  storage.submitAppend(fd, filled(7000, 73));
  storage.submitDatasync(fd);
  finish();
  storage.submitAppend(fd, filled(5000, 74));
  finish();
  const rows = Array.from({ length: out.length }, (_, i) => out.res[i]);
  rows.sort((a, b) => a - b).forEach((res) => note("append or sync", res));
  const end = openFile(io, `${directory}/c`);
  const last = readBytes(io, end, 60_000, 10_000);
  lines.push(`${size(`${directory}/c`)} ${last[0]} ${last[4999]}`);
  return lines;
}

if (import.meta.main) {
  const [backend, directory] = process.argv.slice(2);
  const io = openIo({ backend: backend as "sync" });
  const limit = ["--pid", `${process.pid}`, `--fsize=${LIMIT_BYTES}:unlimited`];
  const { status, stderr } = spawnSync("prlimit", limit, { encoding: "utf8" });
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
  console.log(JSON.stringify(await limited(io, directory, () => {})));
}
