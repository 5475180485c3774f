/** A child process of the run. It answers requests, and it never outlives the run. */
import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import type { Reply } from './messages.ts';
import { processorSeconds } from './processor-time.ts';

export class Child {
  static readonly #all = new Set<ChildProcess>();

  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #ended: Error | undefined;
  #requests = 0;

  /**
   * @param file the compiled program.
   * @param processor the processor to run on, counted from 0; a number that is too high means the last one.
   */
  constructor(name: string, file: string, parameters: readonly string[], processor: number) {
    this.#name = name;
    this.#process = fork(file, parameters, { ...pinnedTo(processor), stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    Child.#all.add(this.#process);
    this.#process.on('message', (reply: Reply) => {
      this.#settle(reply);
    });
    this.#process.on('error', (error) => {
      this.#end(error.message);
    });
    this.#process.on('exit', (status, signal) => {
      this.#end(`ended with ${signal ?? `code ${status}`}`);
    });
  }

  /** Kills every process that is left. It is called at every end of the run. */
  static killAll(): void {
    for (const child of Child.#all) child.kill('SIGKILL');
  }

  /** @returns the address in the line `listening HOST:PORT`, which a server prints first. */
  async listening(): Promise<{ host: string; port: number }> {
    const lines = createInterface({ input: this.#process.stdout! }); // stdout is a pipe, see the constructor
    const line = await this.#within(
      START_MS,
      'listening',
      new Promise<string>((resolve) => lines.once('line', resolve)),
    );
    const match = /^listening (.+):(\d+)$/.exec(line);
    if (!match) throw new Error(`${this.#name} printed "${line}" where "listening HOST:PORT" was expected`);
    return { host: match[1], port: Number(match[2]) };
  }

  /** Why the process has ended; undefined while it runs. */
  get ended(): Error | undefined {
    return this.#ended;
  }

  get processorSeconds(): number {
    return processorSeconds(this.#process.pid!); // if the process could not be started, an earlier request has failed
  }

  async ask<Answer>(body: { readonly ask: string }): Promise<Answer> {
    const id = ++this.#requests;
    const answered = new Promise<never>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#process.send({ id, body }, (error) => {
        if (error) reject(error);
      });
    });
    return this.#within(ANSWER_MS, body.ask, answered);
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exited;
  }

  /** Waits for `promise`, but rejects when the process ends or a time limit passes. */
  async #within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
    if (this.#ended) throw this.#ended;
    const id = -++this.#requests;
    let timer: NodeJS.Timeout | undefined;
    const broken = new Promise<never>((_resolve, reject) => {
      this.#waiting.set(id, { resolve: () => {}, reject });
      timer = setTimeout(() => {
        reject(new Error(`${this.#name} did not answer "${what}" within ${ms / 1000} s`));
      }, ms);
    });
    try {
      return await Promise.race([promise, broken]);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  #settle({ id, value, error }: Reply): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(`${this.#name}: ${error}`));
  }

  #end(how: string): void {
    Child.#all.delete(this.#process);
    this.#ended ??= new Error(`${this.#name} ${how}`);
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}

/** Pins the process to a processor. Otherwise the scheduler would influence the figures. */
function pinnedTo(processor: number): { execPath?: string; execArgv: string[] } {
  const execArgv = ['--expose-gc'];
  if (PROCESSORS === 1 || !canPin) return { execArgv };
  return {
    execPath: 'taskset',
    execArgv: ['-c', String(Math.min(processor, PROCESSORS - 1)), process.execPath, ...execArgv],
  };
}

const PROCESSORS = availableParallelism();
const canPin = spawnSync('taskset', ['-c', '0', 'true']).status === 0;

const START_MS = 20_000;
/** One request may open ten thousand TLS connections, which takes long. */
const ANSWER_MS = 120_000;
