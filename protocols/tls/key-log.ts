/** The secrets of connections as lines of the format that Wireshark and others read (NSS key log, RFC 9850). */

import { closeSync, fchmodSync, openSync, writeSync } from 'node:fs';

import { FileError } from './certificates/pem.ts';

/**
 * Where the secrets go: `'event'` to the event `'keylog'` of each connection, a file (appended, readable by its owner
 * only) to that file, `'SSLKEYLOGFILE'` to the file that this variable of the environment names, if it is set.
 */
export type KeyLog = 'event' | 'SSLKEYLOGFILE' | { readonly file: string };

/** Writes lines to where a context's key log goes. */
export class KeyLogWriter {
  /** Whether connections tell their lines as events. */
  readonly tells: boolean;
  #file: number | undefined;

  /** @throws {FileError} when the file cannot be opened. */
  constructor(where: KeyLog) {
    this.tells = where === 'event';
    const path = where === 'event' ? undefined : where === 'SSLKEYLOGFILE' ? process.env['SSLKEYLOGFILE'] : where.file;
    if (path === undefined || path === '') return;
    try {
      this.#file = openSync(path, 'a', 0o600);
      // Also one that was there before.
      fchmodSync(this.#file, 0o600);
    } catch (error) {
      throw new FileError('key log', path, error as NodeJS.ErrnoException);
    }
  }

  /** Writes at once, so that a capture can be read while it is made. */
  write(line: string): void {
    if (this.#file === undefined) return;
    try {
      writeSync(this.#file, `${line}\n`);
    } catch (error) {
      process.emitWarning(`the key log cannot be written: ${(error as Error).message}`);
      this.close();
    }
  }

  close(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
  }
}
