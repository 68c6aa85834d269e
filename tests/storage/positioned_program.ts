/** Writes and reads a file by position, and says over which backend. */
import process from "node:process";
import { PositionedFile } from "../../storage.ts";

using file = PositionedFile.open(process.argv[2], { read: true, write: true, create: true });
file.pwriteAt(3, new TextEncoder().encode("hello"));
const into = new Uint8Array(5);
file.preadAt(3, into);
console.log(file.io.backend, new TextDecoder().decode(into));
