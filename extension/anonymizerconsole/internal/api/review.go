// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

// onRevision calls use with the workspace of a revision.
func (a *API) onRevision(c *call,
	use func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) error) error {
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		return use(ctx, w, consoleapi.RevisionID{Video: id, Revision: c.PathValue("revision")})
	})
}

// answer responds with what get returns.
func answer[T any](a *API, c *call,
	get func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) (T, error)) error {
	return a.onRevision(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) error {
		value, err := get(ctx, w, id)
		if err != nil {
			return err
		}
		return c.json(value)
	})
}

func (a *API) revision(c *call) error {
	return answer(a, c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) (any, error) {
		return w.Revision(ctx, id)
	})
}

func (a *API) moments(c *call) error {
	return answer(a, c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) (any, error) {
		return w.Moments(ctx, id)
	})
}

func (a *API) watched(c *call) error {
	return answer(a, c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) (any, error) {
		return w.Watched(ctx, id)
	})
}

func (a *API) timeline(c *call) error {
	buckets, err := number(c.URL.Query().Get("buckets"), "buckets", 500, 1, 2000)
	if err != nil {
		return err
	}
	return answer(a, c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) (any, error) {
		return w.Timeline(ctx, id, buckets)
	})
}

const (
	// maxFrames is the maximum number of frames in a response, and usualFrames the default.
	maxFrames, usualFrames = 2000, 250
	// lastFrame is more than the number of frames of any video.
	lastFrame = 1 << 40
)

func (a *API) frames(c *call) error {
	from, err := number(c.URL.Query().Get("from"), "from", 0, 0, lastFrame)
	if err != nil {
		return err
	}
	to, err := number(c.URL.Query().Get("to"), "to", from+usualFrames, from, from+maxFrames)
	if err != nil {
		return err
	}
	return answer(a, c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) (any, error) {
		return w.Frames(ctx, id, from, to)
	})
}

func (a *API) still(c *call) error {
	frame, err := number(c.PathValue("frame"), "frame", -1, 0, lastFrame)
	if err != nil {
		return err
	}
	width, err := number(c.URL.Query().Get("width"), "width", 0, 0, 8192)
	if err != nil {
		return err
	}
	select {
	case a.stills <- struct{}{}:
		defer func() { <-a.stills }()
	default:
		return fail(errTooMany, "too many stills requested at once: wait for some")
	}
	return a.onRevision(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) error {
		picture, err := w.Still(ctx, id, frame, width)
		if err != nil {
			return err
		}
		c.Header().Set("Content-Type", "image/jpeg")
		_, _ = c.Write(picture)
		return nil
	})
}

func (a *API) proxy(c *call) error {
	return a.onRevision(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) error {
		playback, err := w.PrepareProxy(ctx, id)
		if err != nil {
			return err
		}
		return c.accepted(playback)
	})
}

func (a *API) media(c *call) error {
	download, err := strconv.ParseBool(c.URL.Query().Get("download"))
	if err != nil || !download {
		return a.serve(c, consoleapi.KindPlayable, false)
	}
	return a.serve(c, consoleapi.KindOutput, true)
}

func (a *API) file(kind consoleapi.Kind) func(*call) error {
	return func(c *call) error { return a.serve(c, kind, false) }
}

// serve responds with a file or the requested ranges of it.
func (a *API) serve(c *call, kind consoleapi.Kind, attached bool) error {
	return a.onRevision(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) error {
		content, err := w.Open(ctx, id, kind)
		if err != nil {
			return err
		}
		defer content.Close()
		size, err := content.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		c.Header().Set("Content-Type", content.Type)
		c.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, content.ModTime.UnixNano(), size))
		if attached {
			c.Header().Set("Content-Disposition",
				mime.FormatMediaType("attachment", map[string]string{"filename": content.Name}))
		}
		http.ServeContent(c, c.Request, "", content.ModTime, &ending{content, ctx})
		return nil
	})
}

// ending is content that becomes unreadable when a context ends.
type ending struct {
	io.ReadSeeker
	ctx context.Context
}

func (e *ending) Read(b []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.ReadSeeker.Read(b)
}

func (a *API) addWatched(c *call) error {
	var input consoleapi.WatchedInput
	if err := c.body(&input); err != nil {
		return err
	}
	return answer(a, c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) (any, error) {
		return w.AddWatched(ctx, c.who.Actor(), id, input)
	})
}

// maxNote is the maximum length of a note in bytes.
const maxNote = 8000

func (a *API) decide(c *call) error {
	var input consoleapi.DecisionInput
	if err := c.body(&input); err != nil {
		return err
	}
	if len(input.Note) > maxNote {
		return fail(consoleapi.ErrInvalid, "the note is too long")
	}
	return answer(a, c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.RevisionID) (any, error) {
		return w.Decide(ctx, c.who.Actor(), id, input)
	})
}

func (a *API) audit(c *call) error {
	query := c.URL.Query()
	after, err := number(query.Get("after"), "after", 0, 0, lastFrame)
	if err != nil {
		return err
	}
	limit, err := number(query.Get("limit"), "limit", 0, 0, 1_000_000)
	if err != nil {
		return err
	}
	var write func(line []byte) error
	flush := func() error { return nil }
	switch format := query.Get("format"); format {
	case "", "ndjson":
		c.Header().Set("Content-Type", "application/x-ndjson")
		write = func(line []byte) error { _, err := c.Write(append(line, '\n')); return err }
	case "csv":
		c.Header().Set("Content-Type", "text/csv; charset=utf-8")
		write, flush = asCSV(c)
	default:
		return fail(errRequest, "format: write ndjson or csv")
	}
	return a.eachAuditLine(c, after, limit, write, flush)
}

// eachAuditLine writes the entries after a sequence number, or, if limit is not 0, only the latest of them.
func (a *API) eachAuditLine(c *call, after, limit int, write func([]byte) error, flush func() error) error {
	all, done := a.Registry.all()
	defer done()
	if len(all) == 0 {
		c.Header().Del("Content-Type")
		return a.Registry.missing()
	}
	for _, x := range all {
		var latest [][]byte
		err := x.Audit(c.Context(), consoleapi.VideoID(c.PathValue("video")), func(line []byte) error {
			var e struct {
				Seq int `json:"seq"`
			}
			if json.Unmarshal(line, &e) == nil && e.Seq <= after && after > 0 {
				return nil
			}
			if limit == 0 {
				return write(line)
			}
			if latest = append(latest, bytes.Clone(line)); len(latest) > limit {
				latest = latest[1:]
			}
			return nil
		})
		for _, line := range latest {
			if err == nil {
				err = write(line)
			}
		}
		if err != nil {
			return err
		}
	}
	return flush()
}

// auditColumns are the keys of an entry in the order of the table's columns.
var auditColumns = []string{"seq", "time", "actor", "role", "action", "video", "name", "revision", "output",
	"output_sha256", "report_sha256", "note", "moments", "moments_seen", "watched", "previous", "hash"}

// asCSV writes entries as a table. It prefixes texts that a spreadsheet would interpret as formulas with an apostrophe.
func asCSV(to io.Writer) (write func([]byte) error, flush func() error) {
	table := csv.NewWriter(to)
	_ = table.Write(auditColumns)
	return func(line []byte) error {
			var e map[string]any
			if err := json.Unmarshal(line, &e); err != nil {
				e = map[string]any{"note": "this line is not JSON"}
			}
			row := make([]string, len(auditColumns))
			for i, column := range auditColumns {
				if value, ok := e[column]; ok {
					row[i] = harmless(fmt.Sprint(value))
				}
			}
			return table.Write(row)
		}, func() error {
			table.Flush()
			return table.Error()
		}
}

func harmless(text string) string {
	if text != "" && bytes.ContainsRune([]byte("=+-@\t\r"), rune(text[0])) {
		return "'" + text
	}
	return text
}

// verifyWait is how long a verification, which hashes all files with a decision, may take.
const verifyWait = time.Hour

func (a *API) verifyAudit(c *call) error {
	files, _ := strconv.ParseBool(c.URL.Query().Get("files"))
	_ = http.NewResponseController(c.ResponseWriter).SetWriteDeadline(time.Now().Add(verifyWait))
	all, done := a.Registry.all()
	defer done()
	if len(all) == 0 {
		return a.Registry.missing()
	}
	joined := consoleapi.Verification{OK: true}
	for _, x := range all {
		v, err := x.VerifyAudit(c.Context(), files)
		if err != nil {
			return err
		}
		joined.OK = joined.OK && v.OK
		joined.Entries += v.Entries
		joined.Files += v.Files
		joined.Changed = append(joined.Changed, v.Changed...)
		if joined.Problem == "" {
			joined.BadEntry, joined.Problem = v.BadEntry, v.Problem
		}
	}
	return c.json(joined)
}
