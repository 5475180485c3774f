/** Connections of the load generators: Node's own, which read into one shared buffer. */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import type { Endpoint } from '../messages.ts';

export interface Dialer {
  /**
   * @param index of the connection: many connections leave from several loopback addresses, for each has but some 28,000 ports.
   * @param onBytes told of each read; what was read is not kept.
   */
  dial(index: number, onBytes: (count: number) => void): net.Socket;
  /** The event that tells that bytes can be sent. */
  readonly openEvent: 'connect' | 'secureConnect';
}

export function dialer({ host, port, authority }: Endpoint): Dialer {
  const buffer = Buffer.allocUnsafeSlow(256 * 1024);
  const options = (index: number, onBytes: (count: number) => void) => ({
    host,
    port,
    localAddress: `127.0.0.${2 + (index % 16)}`,
    noDelay: true,
    onread: { buffer, callback: (count: number) => { onBytes(count); return true; } },
  });
  if (authority === undefined) return { openEvent: 'connect', dial: (index, onBytes) => net.connect(options(index, onBytes)) };

  const secureContext = tls.createSecureContext({ ca: readFileSync(authority), minVersion: 'TLSv1.3' });
  return {
    openEvent: 'secureConnect',
    dial: (index, onBytes) => tls.connect({ ...options(index, onBytes), secureContext, servername: 'localhost' }),
  };
}
