/** Asks the host for accesses, and prints what it says: arguments are `read:PATH` and `write:PATH`. */
import process from "node:process";
import { host, PermissionError } from "../../src/host/host.ts";

const answers = process.argv.slice(2).map((request) => {
  const at = request.indexOf(":");
  const path = request.slice(at + 1);
  try {
    const resolved = host().resolvePath(path);
    if (request.startsWith("read")) host().requireRead(resolved);
    else host().requireWrite(resolved);
    return "granted";
  } catch (error) {
    if (!(error instanceof PermissionError)) throw error;
    return `${error.code} ${error.flag} ${error.message}`;
  }
});
console.log(JSON.stringify(answers));
