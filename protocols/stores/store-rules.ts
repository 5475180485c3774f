/** What the stores of sessions, and those who use them, take for what they have in common. */

import { count, listOf, partWith, secret, thing, trust } from '../../core/options.ts';

/** A session store in the place of an option. */
export const sessionStore = partWith('a session store', 'get', 'set', 'remove');
/** A session store with `take` in the place of an option. */
export const takingStore = partWith('a session store out of which can be taken', 'get', 'set', 'remove', 'take');
/** Seals what a store keeps. */
export const secretKey = secret(
  thing('32 secret bytes (a Uint8Array)', (value) => value instanceof Uint8Array && (value.length === 32 || 'range')),
);
/** A clock in the place of an option. */
export const clock = thing('a function that tells the time in milliseconds', (value) => typeof value === 'function');
/** The numbers of users, as the system gives them. */
export const users = trust(listOf(count(0, 2 ** 32 - 1)));
/** Text, which may be empty. */
export const anyText = thing('text', (value) => typeof value === 'string');
