// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { useEffect } from "preact/hooks";
import { choose, language, languages, texts } from "./i18n";
import { Audit } from "./pages/audit";
import { Compare } from "./pages/compare";
import { Review } from "./pages/review";
import { SignIn } from "./pages/signin";
import { System } from "./pages/system";
import { Videos } from "./pages/videos";
import { href, route } from "./route";
import { begin, connected, me, notice, shared, signOut, starting } from "./store";

function Navigation() {
  const t = texts.value.nav;
  const here = route.value.path[0] ?? "videos";
  const link = (page: string, text: string) => (
    <a href={href([page])} aria-current={here === page ? "page" : undefined}>
      {text}
    </a>
  );
  return (
    <nav aria-label={t.label}>
      {link("videos", t.videos)}
      {link("system", t.system)}
      {link("audit", t.audit)}
    </nav>
  );
}

function LanguageChoice() {
  return (
    <label class="language">
      <span class="hidden">{texts.value.nav.language}</span>
      <select value={language.value} onChange={(event) => choose(event.currentTarget.value)}>
        {Object.entries(languages).map(([tag, { name }]) => (
          <option key={tag} value={tag} lang={tag}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Header() {
  const t = texts.value;
  const user = me.value;
  return (
    <header class="top">
      <a class="brand" href={href(["videos"])}>
        <img src="icon.svg" alt="" width="28" height="28" />
        {t.product}
      </a>
      {user && <Navigation />}
      <div class="session">
        {user && (
          <span class={connected.value ? "live" : "live lost"}>{connected.value ? t.nav.live : t.nav.lost}</span>
        )}
        <LanguageChoice />
        {user && (
          <>
            <span class="user" title={t.nav.signedIn(user.name, t.roles[user.role] ?? user.role)}>
              {user.name}
            </span>
            <button type="button" class="quiet" onClick={() => void signOut()}>
              {t.nav.signOut}
            </button>
          </>
        )}
      </div>
    </header>
  );
}

function Notice() {
  const now = notice.value;
  return (
    <div class="notice-place" role="status" aria-live="polite">
      {now && (
        <div class={now.bad ? "notice bad" : "notice"}>
          {now.text}
          <button
            type="button"
            class="quiet"
            onClick={() => {
              notice.value = undefined;
            }}
            aria-label={texts.value.close}
          >
            ×
          </button>
        </div>
      )}
    </div>
  );
}

/** Replaces the pages about videos if machines share the work. */
function Shared({ title }: { title: string }) {
  const t = texts.value;
  return (
    <>
      <h1 tabIndex={-1}>{title}</h1>
      <p class="lead">
        {t.errors.shared} <a href={href(["system"])}>{t.nav.system}</a>
      </p>
    </>
  );
}

function Page() {
  const t = texts.value;
  if (me.value === null) return <SignIn />;
  if (starting.value) return <p class="lead">{t.errors.notAttached}</p>;
  if (me.value === undefined) return <p class="lead">{t.loading}</p>;
  const { path } = route.value;
  if (shared.value && path[0] !== "system") return <Shared title={path[0] === "audit" ? t.nav.audit : t.nav.videos} />;
  switch (path[0]) {
    case "system":
      return <System />;
    case "audit":
      return <Audit />;
    case "videos":
      if (path[3] === "compare") return <Compare key={path.join("/")} video={path[1]!} revision={path[2]!} />;
      if (path[1] !== undefined) return <Review key={path.join("/")} video={path[1]} revision={path[2]} />;
      break;
  }
  return <Videos />;
}

/** Moves the focus to the heading of a new page, as a browser does for documents. */
function useFocusOnPageChange() {
  const place = route.value.path.join("/");
  useEffect(() => {
    const heading = document.querySelector("h1");
    document.title = [heading?.textContent, texts.value.product].filter(Boolean).join(" · ");
    if (document.activeElement === document.body || document.activeElement?.closest("nav, main")) {
      heading?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }, [place, language.value, me.value === null]);
}

function App() {
  useFocusOnPageChange();
  return (
    <>
      <a
        class="skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault();
          document.querySelector("main")!.focus();
        }}
      >
        {texts.value.skip}
      </a>
      <Header />
      <main id="content" tabIndex={-1}>
        <Page />
      </main>
      <Notice />
    </>
  );
}

render(<App />, document.getElementById("app")!);
void begin();
