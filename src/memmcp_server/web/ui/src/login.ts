// Who is logged in. The session lives in a cookie that this script cannot read: it only knows the role.

import { Api, ApiError } from "./api";
import { byId, setAttribute, setText } from "./dom";
import { plain } from "./format";
import { readSession } from "./wire";
import type { Session } from "./wire";

const CODE = "#login=";

export class Login {
  private session: Session | null = null;
  private readonly dialog = byId("login") as HTMLDialogElement;

  constructor(private readonly api: Api, private readonly onChange: () => void) {
    byId("login-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("login-secret") as HTMLInputElement;
      const secret = field.value.trim();
      field.value = "";
      void this.enter(secret);
    });
    byId("who-button").addEventListener("click", () => void (this.role === null ? this.ask() : this.leave()));
    byId("login-cancel").addEventListener("click", () => this.dialog.close());
    window.addEventListener("hashchange", () => void this.begin());
  }

  get role(): Session["role"] {
    return this.session?.role ?? null;
  }

  /** The name of who is logged in as an operator, null while nobody is. */
  get operator(): string | null {
    return this.session?.role === "operator" ? this.session.name : null;
  }

  /** Log in with the code behind the address, if there is one, and learn who is logged in. */
  async begin(): Promise<void> {
    const code = location.hash.startsWith(CODE) ? location.hash.slice(CODE.length) : "";
    if (code !== "") {
      // At once: neither the history nor a bookmark keeps it.
      history.replaceState(null, "", location.pathname + location.search);
      await this.enter(code);
      return;
    }
    try {
      this.session = readSession(await this.api.get("/session"));
    } catch {
      this.session = null; // the stream says what is wrong
    }
    this.draw();
  }

  /** Show the dialog: something needs a session, or one with more rights. */
  ask(reason = ""): void {
    setText(byId("login-answer"), reason);
    if (!this.dialog.open) this.dialog.showModal();
  }

  private async enter(secret: string): Promise<void> {
    try {
      this.session = readSession(await this.api.post("/login", { secret }));
      if (this.dialog.open) this.dialog.close();
      this.onChange();
    } catch (error) {
      this.ask(plain(error instanceof ApiError ? error.message : String(error), 300));
    }
    this.draw();
  }

  private async leave(): Promise<void> {
    try {
      await this.api.post("/logout", {});
      this.session = readSession(await this.api.get("/session"));
      this.onChange();
    } catch (error) {
      this.ask(`Not logged out: ${plain(error instanceof ApiError ? error.message : String(error), 300)}`);
    }
    this.draw();
  }

  private draw(): void {
    const role = this.role;
    setAttribute(document.body, "data-role", role ?? "none");
    setText(byId("who-text"), role ?? (this.session?.is_open ? "not logged in, reading" : "not logged in"));
    setText(byId("who-button"), role === null ? "Log in" : "Log out");
  }
}
