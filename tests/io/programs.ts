/**
 * Random programs of `Io` operations, from a seed: the same calls on any backend. A log of what each
 * gave makes them comparable.
 */
import { DSYNC, type Io, type IoFile, type IoStat, type OpenOptions } from "../../io.ts";
import { Prng } from "../../src/io/prng.ts";
import { readBytes, run } from "./support.ts";

const NAMES = ["a", "b", "c", "dir", "dir/x", "dir/y", "none/z", "a/z"];
const SIZE_MAX = 40_000;

/** Runs `length` random operations below `directory`, one after the other; gives a line for each. */
export function runProgram(
  io: Io,
  directory: string,
  seed: number,
  length: number,
  lacks: readonly string[] = [],
): string[] {
  const random = new Prng(seed);
  const files: { file: IoFile; name: string }[] = [];
  const lines: string[] = [];
  const buffer = io.acquireBuffer(64 * 1024)!;
  const path = () => `${directory}/${NAMES[random.below(NAMES.length)]}`;
  const flag = (n = 2) => random.oneIn(n);
  io.createDirectories(`${directory}/dir`);
  const step = (): string => {
    const kind = random.below(14);
    const open = files.length > 0 ? files[random.below(files.length)] : undefined;
    if (open === undefined || kind === 0) {
      const name = path();
      const options: OpenOptions = { read: flag(), write: true };
      if (flag()) options.create = true;
      const special = random.below(8);
      if (special === 0) options.createNew = true;
      else if (special === 1) options.truncate = true;
      else if (special === 2) options.append = true;
      if (flag(4)) options.dsync = true;
      let file!: IoFile;
      const res = run(io, (h) => file = io.open(name, options, h));
      if (res === 0) files.push({ file, name });
      return `open ${name} ${JSON.stringify(options)} ${res}`;
    }
    const { file, name } = open;
    const offset = random.below(SIZE_MAX);
    const size = flag(4) ? random.below(SIZE_MAX) : random.below(600);
    switch (kind) {
      case 1: {
        const res = run(io, (h) => io.close(file, h));
        files.splice(files.indexOf(open), 1);
        return `close ${name} ${res}`;
      }
      case 2:
      case 3:
      case 4: {
        for (let i = 0; i < size; i++) buffer.bytes[i] = random.next();
        const flags = flag() ? DSYNC : 0;
        const res = run(io, (h) => io.writeAt(file, buffer, 0, size, offset, flags, h));
        return `write ${name} ${offset} ${size} ${res}`;
      }
      case 5:
      case 6: {
        const res = run(io, (h) => io.readAt(file, buffer, 0, size, offset, h));
        const crc = res > 0 ? io.crc32cBuffer(buffer, 0, res) : 0;
        return `read ${name} ${offset} ${size} ${res} ${crc}`;
      }
      case 7:
        return `truncate ${name} ${offset} ${run(io, (h) => io.truncate(file, offset, h))}`;
      case 8:
        if (lacks.includes("allocate")) return "";
        return `allocate ${name} ${offset} ${size} ${
          run(io, (h) => io.allocate(file, offset, size, h))
        }`;
      case 9: {
        const res = run(io, (h) => flag() ? io.fsync(file, h) : io.fdatasync(file, h));
        return `sync ${name} ${res}`;
      }
      case 10: {
        const [from, to] = [path(), path()];
        return `rename ${from} ${to} ${run(io, (h) => io.rename(from, to, h))}`;
      }
      case 11: {
        const [from, to] = [path(), path()];
        return `link ${from} ${to} ${run(io, (h) => io.link(from, to, h))}`;
      }
      case 12: {
        const name = path();
        return `remove ${name} ${run(io, (h) => io.remove(name, h))}`;
      }
      default: {
        const target = flag() ? file : path();
        let stat!: IoStat;
        const res = run(io, (h) => stat = io.stat(target, h));
        const size = stat.isFile ? stat.size : 0;
        const name = typeof target === "string" ? target : target.path;
        return `stat ${name} ${res} ${size} ${stat.isFile} ${stat.isDirectory}`;
      }
    }
  };
  for (let i = 0; i < length; i++) lines.push(step().replaceAll(directory, ""));
  for (const { file } of files) run(io, (h) => io.close(file, h));
  io.releaseBuffer(buffer);
  lines.push(...describe(io, directory, ""));
  return lines;
}

/** Every file and directory below, with the contents as a checksum. */
function describe(io: Io, directory: string, prefix: string): string[] {
  const entries = io.listDirectory(directory).sort((x, y) => x.name < y.name ? -1 : 1);
  return entries.flatMap(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    if (isDirectory) return [`${prefix}/${name}/`, ...describe(io, path, `${prefix}/${name}`)];
    let file!: IoFile;
    run(io, (h) => file = io.open(path, { read: true }, h));
    const bytes = readBytes(io, file, 0, 2 * SIZE_MAX + 4096);
    run(io, (h) => io.close(file, h));
    return [`${prefix}/${name} ${bytes.length} ${io.crc32c(bytes)}`];
  });
}
