// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useState } from "preact/hooks";
import { APIError } from "../api";
import { texts } from "../i18n";
import { complain, signIn } from "../store";

export function SignIn() {
  const t = texts.value.signIn;
  const [wrong, setWrong] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("token") as HTMLInputElement;
    setWrong(false);
    try {
      await signIn(field.value.trim().replace(/^.*#token=/, ""));
    } catch (error) {
      if (error instanceof APIError && error.status === 401) {
        setWrong(true);
        field.focus();
      } else {
        complain(error);
      }
    }
  };
  return (
    <form class="card sign-in" onSubmit={(event) => void submit(event)}>
      <h1 tabIndex={-1}>{t.title}</h1>
      <p class="muted">{t.lead}</p>
      <label for="token">{t.token}</label>
      <input
        id="token"
        name="token"
        type="password"
        required
        autocomplete="off"
        spellcheck={false}
        aria-describedby="token-hint"
        aria-invalid={wrong}
        aria-errormessage={wrong ? "token-wrong" : undefined}
      />
      {wrong && (
        <p id="token-wrong" class="error" role="alert">
          {t.wrong}
        </p>
      )}
      <p id="token-hint" class="hint">
        {t.hint}
      </p>
      <button type="submit" class="primary">
        {t.submit}
      </button>
    </form>
  );
}
