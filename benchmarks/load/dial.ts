/** The connections of the load generators. They are Node sockets that read into one shared buffer. */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import type { Endpoint, LoadPlan } from '../messages.ts';

export interface Dialer {
  /**
   * @param index of the connection. Many connections use several loopback addresses, because each address has only
   * about 28,000 ports.
   * @param onBytes is called after each read. The bytes are not kept.
   */
  dial(index: number, onBytes: (count: number) => void): net.Socket;
  /** The event after which bytes can be sent. */
  readonly openEvent: 'connect' | 'secureConnect';
}

export function dialer({ host, port, authority }: Endpoint, { resumes }: Pick<LoadPlan, 'resumes'> = {}): Dialer {
  const buffer = Buffer.allocUnsafeSlow(256 * 1024);
  const options = (index: number, onBytes: (count: number) => void) => ({
    host,
    port,
    localAddress: `127.0.0.${2 + (index % 16)}`,
    noDelay: true,
    onread: {
      buffer,
      callback: (count: number) => {
        onBytes(count);
        return true;
      },
    },
  });
  if (authority === undefined)
    return { openEvent: 'connect', dial: (index, onBytes) => net.connect(options(index, onBytes)) };

  const version = resumes ?? 'TLSv1.3';
  const secureContext = tls.createSecureContext({
    ca: readFileSync(authority),
    minVersion: version,
    maxVersion: version,
    ...(version === 'TLSv1.2' ? { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' } : {}),
  });
  const sessions = new Map<number, Buffer>();
  let [offered, missed] = [0, 0];
  return {
    openEvent: 'secureConnect',
    dial: (index, onBytes) => {
      const session = sessions.get(index);
      const socket = tls.connect({
        ...options(index, onBytes),
        secureContext,
        servername: 'localhost',
        ...(session === undefined ? {} : { session }),
      });
      if (resumes === undefined) return socket;
      socket.on('session', (next: Buffer) => {
        sessions.set(index, next);
      });
      socket.once('secureConnect', () => {
        if (session === undefined) return;
        // A client may connect again before its session has reached the store. This must be rare.
        offered++;
        if (!socket.isSessionReused()) missed++;
        if (missed > 20 && missed > offered / 10)
          socket.destroy(new Error(`the server has resumed only ${offered - missed} of ${offered} sessions`));
      });
      return socket;
    },
  };
}
