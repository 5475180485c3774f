/** A server that refuses sessions in ways that end the connection. */

import type { Connection } from '../../../reactor/connections/connection.ts';
import type { TlsContext } from '../../tls/context/context.ts';
import type { SecureConnection } from '../../tls/secure-connection.ts';

/**
 * How the server refuses: it sends an alert; it sends bytes that are no valid answer; or it accepts the session,
 * completes the handshake and sends such bytes then.
 */
export type Refusal = 'alert' | 'garbage' | 'late garbage';

export const REFUSALS: readonly Refusal[] = ['alert', 'garbage', 'late garbage'];

/** The parts of a client hello that the server needs. */
interface Offer {
  readonly hello: Uint8Array;
  /** The session that the client offers, in hexadecimal; `''` for none. */
  readonly session: string;
}

/**
 * Accepts a connection, unless its client offers a session.
 * @param refused is called with each session that the server refuses.
 * @returns the connection when its handshake is complete; `undefined` when the server refused the client.
 */
export async function takeOrRefuse(
  plain: Connection,
  context: TlsContext,
  refusal: Refusal,
  refused: (session: string) => void,
): Promise<SecureConnection | undefined> {
  const { hello, session } = await offerOf(plain);
  if (session !== '' && refusal !== 'late garbage') {
    refused(session);
    if (refusal === 'alert') await plain.send(FATAL_ALERT);
    if (refusal === 'garbage') await plain.send(garbage(HANDSHAKE));
    await plain.close();
    return undefined;
  }
  plain.unread(hello);
  const { socket } = plain.basis;
  const secure = plain.secure(context);
  await secure.handshake();
  if (!secure.reused) return secure;
  refused(session);
  socket.write(garbage(APPLICATION_DATA));
  socket.shutdown();
  // The client closes when it meets the garbage.
  await secure.receive('*a').catch(() => undefined);
  secure.abort();
  return undefined;
}

async function offerOf(connection: Connection): Promise<Offer> {
  const header = await connection.receive(5);
  const body = await connection.receive(Buffer.from(header).readUInt16BE(3));
  return { hello: Buffer.concat([header, body]), session: sessionIn(Buffer.from(body)) };
}

/** Finds the offered session in a client hello (RFC 8446, section 4.1.2). */
function sessionIn(hello: Buffer): string {
  let at = 4 + 2 + 32;
  const take = (lengthBytes: number): Buffer => {
    const length = hello.readUIntBE(at, lengthBytes);
    at += lengthBytes + length;
    return hello.subarray(at - length, at);
  };
  const id = take(1);
  take(2);
  take(1);
  const all = take(2);
  const extensions = new Map<number, Buffer>();
  for (let from = 0; from < all.length; from += 4 + all.readUInt16BE(from + 2))
    extensions.set(all.readUInt16BE(from), all.subarray(from + 4, from + 4 + all.readUInt16BE(from + 2)));
  const isTls13 = extensions.get(SUPPORTED_VERSIONS)?.includes(Buffer.of(3, 4)) === true;
  const offered = isTls13
    ? extensions.get(PRE_SHARED_KEY)?.subarray(4, 4 + 64)
    : [extensions.get(SESSION_TICKET), id].find((each) => each !== undefined && each.length > 0);
  return offered?.toString('hex') ?? '';
}

const SESSION_TICKET = 35;
const PRE_SHARED_KEY = 41;
const SUPPORTED_VERSIONS = 43;
// A fatal internal_error: what OpenSSL sends when no session id context is set.
const FATAL_ALERT = Uint8Array.of(21, 3, 3, 0, 2, 2, 80);
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
// A record of 24 bytes that is not encrypted.
const garbage = (type: number): Uint8Array => Uint8Array.of(type, 3, 3, 0, 24, ...Buffer.alloc(24, 'nonsense'));
