/** Writes a file block by block, each durable before the next, and remembers what must be there. */
import { type FileHandle, open } from 'node:fs/promises';

const BLOCK_BYTES = 4096;
const BLOCKS = 256;

export class FileLoad {
  readonly #written = new Map<number, number>(); // Sequence number by block.
  #sequence = 0;
  #running: Promise<void> | null = null;
  #stopped = false;
  /** The longest time that one write took. */
  pauseMsMax = 0;

  private constructor(private readonly file: FileHandle) {}

  static async start(path: string): Promise<FileLoad> {
    const load = new FileLoad(await open(path, 'w+'));
    load.#running = load.#run();
    return load;
  }

  get writes(): number {
    return this.#sequence;
  }

  /** Ends it; throws the error that a write got, or when a block is not what was written last. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    for (const [block, sequence] of this.#written) {
      const found = Buffer.alloc(BLOCK_BYTES);
      await this.file.read(found, 0, BLOCK_BYTES, block * BLOCK_BYTES);
      if (!found.equals(blockOf(sequence)))
        throw new Error(`block ${block} is not write ${sequence}`);
    }
    await this.file.close();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const block = this.#sequence % BLOCKS;
      const started = performance.now();
      await this.file.write(blockOf(this.#sequence), 0, BLOCK_BYTES, block * BLOCK_BYTES);
      await this.file.datasync();
      this.pauseMsMax = Math.max(this.pauseMsMax, performance.now() - started);
      this.#written.set(block, this.#sequence);
      this.#sequence += 1;
    }
  }
}

function blockOf(sequence: number): Buffer {
  return Buffer.alloc(BLOCK_BYTES, `write ${sequence} `);
}
