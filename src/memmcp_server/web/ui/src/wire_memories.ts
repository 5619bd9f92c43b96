// What the page reads of a search.

import { check } from "./wire";

export interface SearchHit {
  id: string; content: string; score: number; why: string; kind: string; namespace: string; ts: string; agent: string; trust: string;
  tags: string[]; trajectory_id: string | null; pinned?: boolean | null; valid_to?: string | null; stale?: boolean | null;
}

export interface SearchAnswer { hits: SearchHit[]; index: string; backlog: number; note: string | null; next_cursor: string | null }

export function readSearch(value: unknown): SearchAnswer {
  const answer = check<SearchAnswer>("search", value, { hits: "array", index: "string" });
  for (const hit of answer.hits) {
    check("search: hit", hit, {
      id: "string", content: "string", score: "number", why: "string", kind: "string", namespace: "string", ts: "string", agent: "string",
      trust: "string", tags: "array",
    });
  }
  return answer;
}
