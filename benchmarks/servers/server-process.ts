/**
 * The common part of all servers of the benchmarks: reads the options, prints the address, and answers requests about
 * memory.
 */
import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { answer, type Memory, type ServerRequest } from '../messages.ts';

/** The cipher of every TLS connection. It is fixed so that all peers do the same work. */
export const CIPHER = 'TLS_AES_128_GCM_SHA256';
/** The key exchange of every TLS connection. */
export const GROUP = 'X25519';

export interface ServerOptions {
  /** PEM files. A server without them is plain. */
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  /** The address that a proxy connects to. */
  readonly upstream: { readonly host: string; readonly port: number };
}

export function serverOptions(): ServerOptions {
  const { values } = parseArgs({
    options: { certificate: { type: 'string' }, key: { type: 'string' }, upstream: { type: 'string' } },
  });
  const { certificate, key, upstream = '' } = values;
  const colon = upstream.lastIndexOf(':');
  return {
    tls: certificate !== undefined && key !== undefined ? { certificate, key } : undefined,
    upstream: { host: upstream.slice(0, Math.max(colon, 0)), port: Number(upstream.slice(colon + 1)) },
  };
}

/** The same options for `node:tls`. */
export function nodeTlsOptions({ certificate, key }: NonNullable<ServerOptions['tls']>): SecureContextOptions {
  return {
    cert: readFileSync(certificate),
    key: readFileSync(key),
    minVersion: 'TLSv1.3',
    ciphers: CIPHER,
    ecdhCurve: GROUP,
  };
}

/** Prints the address of the server. After that, the server answers requests. */
export function announce({ host, port }: { readonly host: string; readonly port: number }): void {
  console.log(`listening ${host}:${port}`);
  if (process.send === undefined) return;
  answer(async (_request: ServerRequest): Promise<Memory> => {
    await collectGarbage();
    return { rssBytes: process.memoryUsage.rss() };
  });
}

/** Collects several times, because objects that one collection finalizes are freed by the next. */
async function collectGarbage(): Promise<void> {
  for (let times = 0; times < 4; times++) {
    globalThis.gc?.();
    await sleep(50);
  }
}
