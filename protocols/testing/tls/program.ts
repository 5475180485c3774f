/** Programs that a test starts and talks to. */

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll } from 'vitest';

import { localhost } from './secure-reactor.ts';

/** @returns whether the program `name` is installed. */
export function isInstalled(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

/** @returns a suffix for the names of skipped tests that lists the missing programs; empty when all are installed. */
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

  /** Waits until the output matches. @throws {Error} when the program ends before that. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#matches(pattern, 0);
  }

  /** Like `says`, but searches only the output after the last match of this method. */
  async saysNext(pattern: RegExp): Promise<RegExpExecArray> {
    const match = await this.#matches(pattern, this.#heard);
    this.#heard += match.index + match[0].length;
    return match;
  }

  /** Waits until the program ends; @returns its exit code, `null` after a signal. */
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
      // When the program is not running any more, its streams are closed and all its output has arrived.
      if (!running.has(this.#child))
        throw new Error(`the program ended without printing ${String(pattern)}:\n${this.output.slice(from)}`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }
}

/** Writes the certificate and key of {@link localhost} to files, for programs. */
export function certificateFiles(): { certificate: string; key: string } {
  return { certificate: fileOf('certificate.pem', localhost.certificate), key: fileOf('key.pem', localhost.key) };
}

/**
 * Writes `content` to a file called `name` in a directory that is removed after the tests of the file;
 * @returns its path.
 */
export function fileOf(name: string, content: string | Uint8Array): string {
  folder ??= mkdtempSync(join(tmpdir(), 'wantio-'));
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

/** @returns the TCP port that a process listens on, from /proc, for programs that do not print it. */
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

// Runs after the tests of a file, and stops the programs that failed tests left running.
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

// TCP_LISTEN of the kernel's tcp_states.h.
const LISTENING = '0A';
