/**
 * Opens an `Io`, does what is asked, and says in one line of JSON what became of it: for tests under
 * other permissions and environments. Arguments: options of `openIo` as JSON, then requests
 * (`write:PATH`, `rename:FROM:TO`, …).
 */
import process from "node:process";
import { type Io, openIo, RingUnavailableError } from "../../io.ts";

const [options = "{}", ...requests] = process.argv.slice(2);

function answer(io: Io, request: string): number | string {
  const [what, path, other] = request.split(":");
  const start: Record<string, (handle: number) => unknown> = {
    read: (handle) => io.open(path, { read: true }, handle),
    write: (handle) => io.open(path, { write: true, create: true }, handle),
    both: (handle) => io.open(path, { read: true, write: true, create: true }, handle),
    stat: (handle) => io.stat(path, handle),
    rename: (handle) => io.rename(path, other, handle),
    link: (handle) => io.link(path, other, handle),
    remove: (handle) => io.remove(path, handle),
    sync: (handle) => io.syncDirectory(path, handle),
  };
  try {
    if (what === "list") return io.listDirectory(path).length;
    if (what === "directories") return io.createDirectories(path).length;
    start[what](1);
    io.park();
    return io.take(1)!;
  } catch (error) {
    if (io.inFlight > 0) return "something is in flight";
    return (error as { flag?: string }).flag ?? String(error);
  }
}

try {
  const io = openIo(JSON.parse(options));
  const { backend, reason } = io;
  const answers = requests.map((request) => answer(io, request));
  io[Symbol.dispose]();
  console.log(JSON.stringify({ backend, reason, answers }));
} catch (error) {
  const { name, message, code, cause } = error as Error & { code?: string };
  const why = (error instanceof RingUnavailableError ? error : cause as RingUnavailableError)
    ?.reason;
  console.log(JSON.stringify({ name, message, code, why }));
}
