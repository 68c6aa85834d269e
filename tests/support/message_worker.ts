/** Sends messages 0, 1, … to the ring whose address it was given, each with twice its number as res. */
import { workerData } from "node:worker_threads";
import { Ring } from "../../ring.ts";
import { finish } from "./ring.ts";

const { address, count } = workerData as { address: number; count: number };
const ring = Ring.open();
for (let i = 0; i < count; i++) {
  const res = finish(ring, ring.prepMsgRing(address, i, 2 * i, i));
  if (res !== 0) throw new Error(`message ${i}: ${res}`);
}
ring.close();
