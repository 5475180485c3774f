/** The rule for an argument that is a reactor. */

import { partWith } from '../core/options.ts';

/** A value that has the methods of a reactor. */
export const reactorRule = partWith('a Reactor', 'connect', 'listen', 'select');
