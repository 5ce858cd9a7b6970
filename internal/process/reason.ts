/** Why something failed, in words. What failed first comes first: closing what it used may have failed after it. */
export function reasonOf(error: unknown): string {
  if (error instanceof SuppressedError) return `${reasonOf(error.suppressed)}; then, while it closed: ${reasonOf(error.error)}`;
  return error instanceof Error ? error.message : String(error);
}
