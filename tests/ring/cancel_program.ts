/** Cancels a timeout in a blocking call, and says in one line of JSON what came of it. */
import { Ring, RingUnsupportedError } from "../../ring.ts";

using ring = Ring.open({ entries: 4, arenaBytes: 4096, bufferBytes: 4096 });
ring.prepTimeout(60_000_000, 0, 1);
ring.submit();
try {
  console.log(JSON.stringify({ res: ring.cancelSync("all") }));
} catch (error) {
  if (!(error instanceof RingUnsupportedError)) throw error;
  const { operation, since, message } = error;
  console.log(JSON.stringify({ operation, since, message, inFlight: ring.inFlight }));
}
