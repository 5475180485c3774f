/** Programs that tests talk to. */

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll } from 'vitest';

import { localhost } from './secure-reactor.ts';

/** Whether `name` can be run here. */
export function isInstalled(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

/**
 * What of these programs is missing, to be put behind the name of tests that are skipped for it; empty when nothing is.
 */
export function missing(...names: string[]): string {
  const absent = names.filter((name) => !isInstalled(name));
  return absent.length === 0 ? '' : ` (${absent.join(' and ')} not installed)`;
}

/** A running program whose output can be awaited. */
export class Program {
  output = '';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  #waiting: (() => void)[] = [];
  #heard = 0;

  constructor(name: string, ...args: string[]) {
    this.#child = spawn(name, args);
    running.add(this.#child);
    this.#exited = once(this.#child, 'close');
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
        this.#changed();
      });
    this.#child.stdin.on('error', () => undefined);
    void this.#exited.then(() => {
      running.delete(this.#child);
      this.#changed();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  end(): void {
    this.#child.stdin.end();
  }

  /** Waits until the output matches. @throws when the program ends before that. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#matches(pattern, 0);
  }

  /** The same for what comes after the last match of this method. */
  async saysNext(pattern: RegExp): Promise<RegExpExecArray> {
    const match = await this.#matches(pattern, this.#heard);
    this.#heard += match.index + match[0].length;
    return match;
  }

  /** Waits for its end; @returns the exit code, `null` after a signal. */
  async exit(): Promise<number | null> {
    await this.#exited;
    return this.#child.exitCode;
  }

  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#child.kill(signal);
    await this.#exited;
  }

  #changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #matches(pattern: RegExp, from: number): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output.slice(from));
      if (match !== null) return match;
      // What it said last has arrived when its streams are closed.
      if (!running.has(this.#child))
        throw new Error(`it ended without saying ${String(pattern)}:\n${this.output.slice(from)}`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }
}

/** The certificate and key of {@link localhost} as files, for programs. */
export function certificateFiles(): { certificate: string; key: string } {
  return { certificate: fileOf('certificate.pem', localhost.certificate), key: fileOf('key.pem', localhost.key) };
}

/**
 * Writes `content` to a file of that name in a folder that is there until the tests of the file are done;
 * @returns its path.
 */
export function fileOf(name: string, content: string | Uint8Array): string {
  folder ??= mkdtempSync(join(tmpdir(), 'wantio-'));
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

/** The TCP port that a program listens on, for one that does not tell; as the system knows it. It must be listening. */
export function portOfProcess(pid: number): number {
  const folderOfProcess = `/proc/${String(pid)}`;
  const sockets = new Set(
    readdirSync(`${folderOfProcess}/fd`).map(
      (fd) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folderOfProcess}/fd/${fd}`))?.[1],
    ),
  );
  for (const table of ['net/tcp', 'net/tcp6']) {
    for (const line of readFileSync(`${folderOfProcess}/${table}`, 'utf8').trim().split('\n').slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === LISTENING && sockets.has(inode)) return parseInt(local.slice(local.indexOf(':') + 1), 16);
    }
  }
  throw new Error(`the process ${String(pid)} listens on no TCP port`);
}

let folder: string | undefined;
const running = new Set<ChildProcessWithoutNullStreams>();

// After the tests of a file. A test that fails leaves its programs running.
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

// TCP_LISTEN of the kernel's tcp_states.h.
const LISTENING = '0A';
