/** The socket file of a session server. */

import { lstat, rename } from 'node:fs/promises';

import { SystemError } from '../../../core/errors.ts';
import type { Listener } from '../../../reactor/listening/listener.ts';
import type { Reactor } from '../../../reactor/reactor.ts';
import { StoreError } from '../store-error.ts';

/**
 * Listens on a socket file that only this user may open. A file that a dead server has left is replaced.
 * @throws {StoreError} when another server listens there, or the file is no socket.
 */
export async function listenPrivately(reactor: Reactor, path: string): Promise<Listener> {
  try {
    return await listenOnce(reactor, path);
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EADDRINUSE') throw error;
  }
  await replaceStale(reactor, path);
  return listenOnce(reactor, path);
}

/** A file gets its mode when it is bound, so that there is no moment in which others could open it. */
function listenOnce(reactor: Reactor, path: string): Promise<Listener> {
  const mask = process.umask(0o177);
  try {
    // It binds before it returns.
    return reactor.listen({ path });
  } finally {
    process.umask(mask);
  }
}

async function replaceStale(reactor: Reactor, path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() === false) throw new StoreError('failed', `${path} is not a socket; it was left alone`);
  if (await answers(reactor, path)) throw inUse(path);
  // Another server may have replaced it a moment ago: so it is looked at again where nobody can take its place.
  const aside = `${path}.${String(process.pid)}`;
  await rename(path, aside);
  if (await answers(reactor, aside)) {
    await rename(aside, path);
    throw inUse(path);
  }
  reactor.loop.ground.calls.unlink(aside);
}

/** Whether somebody listens on the socket. */
async function answers(reactor: Reactor, path: string): Promise<boolean> {
  try {
    const connection = await reactor.connect({ path, timeouts: { totalMs: PROBE_MS } });
    connection.abort();
    return true;
  } catch (error) {
    // Whoever is too busy to accept is alive.
    return !(error instanceof SystemError) || (error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
  }
}

function inUse(path: string): StoreError {
  return new StoreError('failed', `a session server listens on ${path} already`);
}

const PROBE_MS = 1_000;
