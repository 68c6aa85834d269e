/**
 * A key-value store that survives a power cut: the log is the truth, the map is rebuilt from it.
 *
 *     bun examples/key_value.ts DIRECTORY KEY [VALUE]
 *     deno run -A examples/key_value.ts DIRECTORY KEY [VALUE]
 *
 * With a value it stores it, durably; without one it prints what is stored.
 */
import process from "node:process";
import { Wal } from "../wal.ts";

/** Strings by strings. */
class Store {
  readonly #wal: Wal;
  readonly #values = new Map<string, string>();

  private constructor(wal: Wal) {
    this.#wal = wal;
  }

  static async open(directory: string): Promise<Store> {
    const store = new Store(await Wal.open(directory));
    for await (const batch of store.#wal.read()) {
      for (let i = 0; i < batch.length; i++) {
        const [key, value] = JSON.parse(batch.text(i));
        store.#values.set(key, value);
      }
    }
    return store;
  }

  get(key: string): string | undefined {
    return this.#values.get(key);
  }

  /** Resolves when the value is durable; nobody sees it before. */
  async set(key: string, value: string): Promise<void> {
    await this.#wal.durable(this.#wal.append(JSON.stringify([key, value])));
    this.#values.set(key, value);
  }

  close(): Promise<void> {
    return this.#wal.close();
  }
}

const [directory, key, value] = process.argv.slice(2);
if (key === undefined) {
  console.error("usage: key_value.ts DIRECTORY KEY [VALUE]");
  process.exit(2);
}
const store = await Store.open(directory);
if (value !== undefined) await store.set(key, value);
console.log(store.get(key) ?? "(nothing)");
await store.close();
