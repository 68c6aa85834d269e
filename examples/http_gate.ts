/**
 * An HTTP server that answers a POST only when its body survives a power cut. Requests that come
 * together share one commit.
 *
 *     bun examples/http_gate.ts DIRECTORY [PORT]
 *     deno run -A examples/http_gate.ts DIRECTORY [PORT]
 *
 *     curl -d 'three apples' http://127.0.0.1:8080/
 */
import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import process from "node:process";
import { Wal, WalFullError } from "../wal.ts";

const [directory, port = "8080"] = process.argv.slice(2);
if (directory === undefined) {
  console.error("usage: http_gate.ts DIRECTORY [PORT]");
  process.exit(2);
}
const wal = await Wal.open(directory);

/** Appends as soon as there is room. */
async function append(body: Uint8Array): Promise<number> {
  for (;;) {
    try {
      return wal.append(body);
    } catch (error) {
      if (!(error instanceof WalFullError)) throw error;
      await wal.ready();
    }
  }
}

const server = createServer(async (request, response) => {
  try {
    const parts: Uint8Array[] = [];
    for await (const part of request) parts.push(part);
    const lsn = await append(Buffer.concat(parts));
    await wal.durable(lsn); // the gate
    response.end(`${lsn}\n`);
  } catch (error) {
    response.statusCode = 500;
    response.end(`${(error as Error).message}\n`);
  }
});

server.listen(Number(port), "127.0.0.1", () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === "object" ? address?.port : port}/`);
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, async () => {
    server.close();
    await wal.close();
    process.exit(0);
  });
}
