/** Code of users that is called in the middle of our own. */

/** Runs `task`; what it throws surfaces from a microtask of its own, after whatever goes on now. */
export function guarded(task: () => void): void {
  try {
    task();
  } catch (error) {
    surface(error);
  }
}

/** Throws from a microtask of its own: where a closure for {@link guarded} would be made too often. */
export function surface(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
