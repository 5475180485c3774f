/** Chooses a server's context by the name that the client requests. */

import { isIP } from 'node:net';

import { readHostName } from '../../reactor/addresses/host-name.ts';
import * as c from './constants.ts';
import type { ClientHello } from './client-hello.ts';
import type { Chooser, SettingsOwner } from './context/settings.ts';
import { isThenable } from './thenable.ts';
import { TlsError } from './tls-error.ts';

/**
 * @returns the chooser for the contexts in `names`.
 * @throws {RangeError} when a name is invalid or listed twice.
 */
export function byServerName(
  names: Readonly<Record<string, SettingsOwner>>,
): (hello: ClientHello) => SettingsOwner | undefined {
  const contexts = new Map<string, SettingsOwner>();
  for (const [given, context] of Object.entries(names)) {
    const name = checkedName(given);
    if (contexts.has(name)) throw new RangeError(`serverNames has ${JSON.stringify(name)} twice, in two spellings`);
    contexts.set(name, context);
  }
  return ({ serverName }) => {
    if (serverName === undefined) return undefined;
    return contexts.get(serverName) ?? contexts.get(`*${serverName.slice(Math.max(0, serverName.indexOf('.')))}`);
  };
}

/** @returns a chooser that refuses the clients for which `choose` finds no context. */
export function strictly(choose: Chooser): Chooser {
  return (hello) => {
    const found = choose(hello);
    return isThenable(found) ? found.then((later) => foundFor(hello, later)) : foundFor(hello, found);
  };
}

/** @throws {TlsError} unrecognized_name when no context was found. */
function foundFor({ serverName }: ClientHello, context: SettingsOwner | undefined): SettingsOwner {
  if (context !== undefined) return context;
  throw new TlsError(
    serverName === undefined
      ? 'handshake refused: the client requests no server name'
      : `handshake refused: there is no server ${JSON.stringify(serverName)}`,
    { reason: 'unrecognized name', sent: c.ALERT_UNRECOGNIZED_NAME },
  );
}

/**
 * @returns a name of `serverNames` in the form in which it is compared with clients' names.
 * @throws {RangeError} when no client can request it.
 */
export function checkedName(name: string): string {
  const [, star = '', host = ''] = /^(\*\.)?([^]*)$/.exec(name) ?? [];
  const read = readHostName(host);
  const fault =
    'fault' in read
      ? read.fault
      : isIP(read.name) === 0
        ? undefined
        : 'clients request names only, never addresses (RFC 6066, section 3)';
  if (fault !== undefined)
    throw new RangeError(
      `serverNames takes names such as "example.com" and "*.example.com", not ${JSON.stringify(name)}: ${fault}`,
    );
  return star + (read as { readonly name: string }).name;
}
