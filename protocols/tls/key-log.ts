/** Logs the secrets of connections in the format that Wireshark and others read (NSS key log, RFC 9850). */

import { closeSync, fchmodSync, openSync, writeSync } from 'node:fs';

import { FileError } from './certificates/pem.ts';

/**
 * Where the secrets go. `'event'`: each connection emits them as events `'keylog'`. A file: they are appended to it,
 * and only the file's owner can read it. `'SSLKEYLOGFILE'`: they go to the file that this environment variable names,
 * if it is set.
 */
export type KeyLog = 'event' | 'SSLKEYLOGFILE' | { readonly file: string };

/** Writes the key log of one context. */
export class KeyLogWriter {
  /** Whether connections emit their lines as events. */
  readonly tells: boolean;
  #file: number | undefined;

  /** @throws {FileError} when the file cannot be opened. */
  constructor(where: KeyLog) {
    this.tells = where === 'event';
    const path = where === 'event' ? undefined : where === 'SSLKEYLOGFILE' ? process.env['SSLKEYLOGFILE'] : where.file;
    if (path === undefined || path === '') return;
    try {
      this.#file = openSync(path, 'a', 0o600);
      // The mode of openSync is for a new file only.
      fchmodSync(this.#file, 0o600);
    } catch (error) {
      throw new FileError('key log', path, error as NodeJS.ErrnoException);
    }
  }

  /** Writes synchronously, so that a capture can be decrypted while it is made. */
  write(line: string): void {
    if (this.#file === undefined) return;
    try {
      writeSync(this.#file, `${line}\n`);
    } catch (error) {
      process.emitWarning(`the key log cannot be written and is closed: ${(error as Error).message}`);
      this.close();
    }
  }

  close(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
  }
}
