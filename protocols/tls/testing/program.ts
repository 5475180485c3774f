/** Programs that tests talk to. */

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { localhost } from './secure-reactor.ts';

/** Whether `name` can be run here. */
export function isInstalled(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

/** A running program whose output can be awaited. */
export class Program {
  output = '';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  #changed: () => void = () => undefined;

  constructor(name: string, ...args: string[]) {
    this.#child = spawn(name, args);
    this.#exited = once(this.#child, 'close');
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
      this.#changed();
    });
    this.#child.stdin.on('error', () => undefined);
    void this.#exited.then(() => { this.#changed(); });
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
    for (;;) {
      const match = pattern.exec(this.output);
      if (match !== null) return match;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error(`it ended without saying ${String(pattern)}:\n${this.output}`);
      await new Promise<void>((resolve) => { this.#changed = resolve; });
    }
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
}

let folder: string | undefined;

/** The certificate and key of {@link localhost} as files, for programs. */
export function certificateFiles(): { certificate: string; key: string } {
  folder ??= mkdtempSync(join(tmpdir(), 'wantio-'));
  const certificate = join(folder, 'certificate.pem');
  const key = join(folder, 'key.pem');
  writeFileSync(certificate, localhost.certificate);
  writeFileSync(key, localhost.key, { mode: 0o600 });
  return { certificate, key };
}
