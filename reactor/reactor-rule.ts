/** The rule for an argument that is a reactor. */

import { partWith } from '../core/options.ts';

/** A reactor in the place of an argument. */
export const reactorRule = partWith('a Reactor', 'connect', 'listen', 'select');
