import type { Log } from "../../../internal/cqrs/log.ts";
import { type Letter, loadLetters } from "./letters.ts";

/** The letters with these ids, of which the beginning is enough. @throws {Error} there is none, or several */
export async function findLetters(log: Log, ids: readonly string[]): Promise<readonly Letter[]> {
  const letters = await loadLetters(log, log.partitions);
  return ids.map((id) => {
    const [letter, ...others] = letters.filter((candidate) => id !== "" && candidate.id.startsWith(id));
    if (letter === undefined) throw new Error(`there is no dead letter ${id}; headwater dead-letters list --all shows all ids`);
    if (others.length > 0) throw new Error(`several dead letters begin with ${id}; tell more of the id`);
    return letter;
  });
}

/** The same, of which all must be open. @throws {Error} one is closed */
export async function findOpenLetters(log: Log, ids: readonly string[]): Promise<readonly Letter[]> {
  const letters = await findLetters(log, ids);
  const closed = letters.find(({ resolution }) => resolution !== undefined);
  if (closed !== undefined)
    throw new Error(`the dead letter ${closed.id} is closed; headwater dead-letters show ${closed.id} tells by whom`);
  return letters;
}
