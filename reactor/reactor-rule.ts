/** A reactor in the place of an argument. */

import { partWith } from '../core/options.ts';

export const reactorRule = partWith('a Reactor', 'connect', 'listen', 'select');
