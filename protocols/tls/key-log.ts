/** The secrets of connections as lines of the format that Wireshark and others read (NSS key log, RFC 9850). */

import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';

/**
 * Where the secrets go: `'event'` to the event `'keylog'` of each connection, a file (appended, readable by its owner only)
 * to that file, `'SSLKEYLOGFILE'` to the file that this variable of the environment names, if it is set.
 */
export type KeyLog = 'event' | 'SSLKEYLOGFILE' | { readonly file: string };

/** Writes lines to where a context's key log goes. */
export class KeyLogWriter {
  /** Whether connections tell their lines as events. */
  readonly tells: boolean;
  readonly #file: WriteStream | undefined;

  constructor(where: KeyLog) {
    if (where !== 'event' && where !== 'SSLKEYLOGFILE' && typeof where !== 'object') throw new RangeError(`dangerouslyLogKeys takes 'event', 'SSLKEYLOGFILE' or { file }, not ${String(where)}`);
    this.tells = where === 'event';
    const path = where === 'event' ? undefined : where === 'SSLKEYLOGFILE' ? process.env['SSLKEYLOGFILE'] : where.file;
    if (path === undefined || path === '') return;
    this.#file = createWriteStream(path, { flags: 'a', mode: 0o600 });
    this.#file.on('error', (error) => {
      process.emitWarning(`the key log cannot be written: ${error.message}`);
    });
  }

  write(line: string): void {
    if (this.#file?.writable === true) this.#file.write(`${line}\n`);
  }

  close(): void {
    this.#file?.end();
  }
}
