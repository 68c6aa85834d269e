/** Reserves past the limit of a file's size, and within it, and syncs; says in one line of JSON what came of it. */
import process from "node:process";
import { Ring } from "../../ring.ts";
import { finish, finishAll, openFile } from "../support/ring.ts";

const [path] = process.argv.slice(2);
const LIMIT = 1 << 30;
using ring = Ring.open({ entries: 8, arenaBytes: 4096, bufferBytes: 4096 });
const file = openFile(ring, path);
const beyond = finish(ring, ring.prepFallocate(file, 0, LIMIT, 4096, 1));
const across = finish(ring, ring.prepFallocate(file, 0, LIMIT - 4096, 8192, 1));
const within = finish(ring, ring.prepFallocate(file, 0, 0, 65536, 1));
// A hard chain goes on after the one that failed: what was written before it is made durable.
ring.beginChain(2, true);
ring.prepFallocate(file, 0, LIMIT, 4096, 2);
ring.prepFsync(file, 3);
const chain = finishAll(ring);
console.log(JSON.stringify({ beyond, across, within, chain: [chain.get(2), chain.get(3)] }));
