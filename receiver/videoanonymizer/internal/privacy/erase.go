// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/notify"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pseudonym"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/workspace"
)

// Erasure describes what was erased of a video, or would be. anonymizerctl erase prints it as JSON.
type Erasure struct {
	// Sources are the sources of the outputs. They are never touched.
	Sources []string `json:"sources"`
	// Files are the removed files.
	Files []string `json:"files"`
	// Audit is the number of entries in the audit log that were partly erased.
	Audit int `json:"audit_entries"`
	// Telemetry is the number of erased spans, log records and data points, by file.
	Telemetry map[string]int `json:"telemetry"`
	// Journal is the number of paths erased from the journal.
	Journal int `json:"journal_entries"`
	// Remaining lists what could not be erased, and why.
	Remaining []string `json:"remaining"`
}

// ErrUnknown means that there is no information about a video.
var ErrUnknown = errors.New("nothing is known of it")

// Erase erases all information in the places about one video. The query is the name, path or SHA-256 of the video or of
// an output. If dry, Erase only reports what it would erase. No collector may use the state directory. An erasure that
// was interrupted is completed by the next call, because the information that identifies the video is erased last.
func Erase(ctx context.Context, places Places, query, actor string, dry bool) (*Erasure, error) {
	open := watch.OpenLedger
	if dry {
		open = watch.ReadLedger
	} else if err := checkOwner(places.State); err != nil {
		return nil, err
	}
	ledger, err := open(places.State)
	if err != nil {
		return nil, err
	}
	found, err := find(places, ledger, query)
	if err == nil {
		err = found.erase(ctx, ledger, actor, dry)
	}
	if !dry {
		err = errors.Join(err, ledger.Close())
	}
	if found == nil {
		return nil, err
	}
	return &found.done, err
}

// checkOwner returns an error if this user's files would be unreadable for their owner, the collector.
func checkOwner(state string) error {
	info, err := os.Stat(state)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: run this as that user, or the collector can no longer use its files",
			state, st.Uid)
	}
	return nil
}

// target is all information about one video.
type target struct {
	places  Places
	known   []watch.Known
	outputs []output
	done    Erasure
}

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// find returns all information about a video. It fails with ErrUnknown if there is none, and if several videos have the
// name.
func find(places Places, ledger *watch.Ledger, query string) (*target, error) {
	known := ledger.Known()
	all, err := inventory(places.Outputs, known)
	if err != nil {
		return nil, err
	}
	t := &target{places: places, done: Erasure{Sources: []string{}, Files: []string{}, Telemetry: map[string]int{},
		Remaining: []string{}}}
	if !sha256Pattern.MatchString(query) {
		for _, k := range known {
			if k.Path == query || filepath.Base(k.Path) == query || k.Rel == query {
				t.add(k)
			}
		}
	}
	for _, o := range all {
		if o.matches(query) {
			for _, k := range o.sources {
				t.add(k)
			}
		}
	}
	for _, o := range all { // including outputs of shorter versions, and revisions
		if o.matches(query) || slices.ContainsFunc(o.sources, t.has) || t.superseded(o) {
			t.outputs = append(t.outputs, o)
		}
	}
	if len(t.known) == 0 && len(t.outputs) == 0 {
		return nil, fmt.Errorf("%q: %w: write a file's name or path, or the SHA-256 of a source or an output from its "+
			"report", query, ErrUnknown)
	}
	return t, t.checkOne(query)
}

func (t *target) has(k watch.Known) bool {
	return slices.ContainsFunc(t.known, func(x watch.Known) bool { return x.Path == k.Path })
}

func (t *target) add(k watch.Known) {
	if !t.has(k) {
		t.known = append(t.known, k)
		t.done.Sources = append(t.done.Sources, k.Path)
	}
}

// superseded reports whether an output is marked as the output of a shorter version of a source.
func (t *target) superseded(o output) bool {
	text, err := durable.ReadFile(watch.MarkOf(o.path))
	var mark struct {
		Source string `json:"source"`
	}
	return err == nil && json.Unmarshal(text, &mark) == nil && slices.Contains(t.done.Sources, mark.Source)
}

// checkOne returns an error if several videos have the name. A source that was renamed counts as one video.
func (t *target) checkOne(query string) error {
	videos, contents := map[string]bool{}, map[string]bool{}
	for _, k := range t.known {
		videos[cmp.Or(k.Output.Path, k.Path)] = true
	}
	for _, o := range t.outputs {
		if len(o.sources) > 0 && o.report != nil {
			contents[o.report.Source.SHA256] = true
		}
	}
	for _, o := range t.outputs {
		if len(o.sources) == 0 && o.report != nil && !contents[o.report.Source.SHA256] && !t.superseded(o) {
			videos[o.report.Source.SHA256] = true
		}
	}
	if len(videos) <= 1 {
		return nil
	}
	return fmt.Errorf("%q is the name of several videos: write the path or the SHA-256 of the one that you mean: %s",
		query, strings.Join(slices.Sorted(maps.Keys(videos)), ", "))
}

// matches reports whether the query identifies an output.
func (o output) matches(query string) bool {
	if o.path == query || filepath.Base(o.path) == query {
		return true
	}
	if o.report == nil {
		return false
	}
	r := o.report
	if sha256Pattern.MatchString(query) {
		return r.Source.SHA256 == query || r.Output.SHA256 == query
	}
	return len(o.sources) == 0 && r.Source.Name == query
}

// erase erases everything. Reports and journal, which identify the video in the next call, come last.
func (t *target) erase(ctx context.Context, ledger *watch.Ledger, actor string, dry bool) error {
	for _, k := range t.known {
		if _, err := os.Lstat(k.Path); err == nil {
			t.remains("the source %s is there: sources are never touched, and the collector anonymizes it again at the next "+
				"start unless it is no longer in a watched folder", k.Path)
		}
	}
	approved, files, reports := t.files()
	files = append(approved, files...)
	t.done.Files = append(append(t.done.Files, files...), reports...)
	if err := t.eraseTelemetry(ctx, dry); err != nil {
		return err
	}
	if err := t.eraseAudit(actor, dry); err != nil {
		return err
	}
	paths := t.journalPaths()
	t.done.Journal = len(paths)
	for _, path := range watch.DamagedCopies(t.places.State) {
		if text, err := durable.ReadFile(path); err != nil || slices.ContainsFunc(t.done.Sources, func(source string) bool {
			return strings.Contains(string(text), source)
		}) {
			t.remains("%s, the copy of a damaged journal, may name it: remove it once you no longer need it", path)
		}
	}
	if dry {
		return nil
	}
	var errs []error
	for _, path := range append(files, reports...) {
		errs = append(errs, durable.RemoveIfThere(path))
	}
	for _, k := range t.known {
		if k.Temp != "" {
			errs = append(errs, watch.LeftBy(k.Temp))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return ledger.Forget(paths...)
}

func (t *target) remains(format string, args ...any) {
	t.done.Remaining = append(t.done.Remaining, fmt.Sprintf(format, args...))
}

// files returns the files to remove: first the copies of approved outputs, which are identified by the outputs, then
// the outputs and their companions, and then the reports, which identify these.
func (t *target) files() (approved, files, reports []string) {
	var names, paths []string
	for _, o := range t.outputs {
		companions := companionsOf(o.path)
		files = append(append(files, o.path), companions[:len(companions)-1]...)
		reports = append(reports, companions[len(companions)-1])
		names, paths = append(names, relative(t.places.Outputs, o.path)), append(paths, o.path)
		if t.places.Approved != "" {
			approved = append(approved, t.approvedAs(o)...)
		}
	}
	for _, k := range t.known {
		files = append(files, k.Companions...)
	}
	console, err := workspace.FilesAbout(filepath.Join(t.places.State, audit.DirectoryName), t.ids(), names, paths)
	if err != nil {
		t.remains("reviews that cannot be read: %v", err)
	}
	files = append(append(files, console...), t.reasons()...)
	var ids []string
	for _, id := range t.ids() {
		ids = append(ids, string(id))
	}
	files = append(files, notify.FilesAbout(t.places.State, ids)...)
	files = slices.DeleteFunc(files, func(path string) bool { return slices.Contains(reports, path) })
	slices.Sort(files)
	return approved, there(slices.Compact(files)), there(reports)
}

// approvedAs returns the path of the copy of an output in the directory of approved outputs. It does not return other
// files of the same name.
func (t *target) approvedAs(o output) []string {
	path := filepath.Join(t.places.Approved, relative(t.places.Outputs, o.path))
	original, err := watch.Describe(o.path)
	if errors.Is(err, fs.ErrNotExist) && o.report != nil {
		copied, err := report.Identify(context.Background(), path)
		if err != nil || copied.SHA256 != o.report.Output.SHA256 {
			return nil
		}
		return []string{path}
	}
	if err != nil {
		return nil
	}
	copied, err := watch.Describe(path)
	if err != nil || copied.Size != original.Size || copied.Digest != original.Digest {
		return nil
	}
	return []string{path}
}

// reasons returns the files that explain why the source is in quarantine.
func (t *target) reasons() (paths []string) {
	if t.places.Quarantine == "" {
		return nil
	}
	_ = filepath.WalkDir(t.places.Quarantine, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, watch.ReasonSuffix) {
			return nil // unreadable files do not concern this video
		}
		text, err := durable.ReadFile(path)
		var why struct {
			Source string `json:"source"`
		}
		if err == nil && json.Unmarshal(text, &why) == nil && slices.Contains(t.done.Sources, why.Source) {
			paths = append(paths, path)
			t.remains("the source may be %s: sources are never touched", strings.TrimSuffix(path, watch.ReasonSuffix))
		}
		return nil
	})
	return paths
}

// journalPaths returns all paths of the video that the journal may contain.
func (t *target) journalPaths() (paths []string) {
	for _, k := range t.known {
		paths = append(append(paths, k.Path), k.Companions...)
	}
	for _, o := range t.outputs {
		paths = append(append(paths, o.path), companionsOf(o.path)...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// pseudonyms returns the pseudonyms of videos, or nil if the receiver never used any.
func (t *target) pseudonyms() (*pseudonym.Names, error) {
	if !pseudonym.Exists(t.places.State) {
		return nil, nil
	}
	return pseudonym.Open(t.places.State, t.places.Folders...)
}

// ids returns the video's IDs in the console, with and without pseudonyms.
func (t *target) ids() (ids []consoleapi.VideoID) {
	names, err := t.pseudonyms()
	if err != nil {
		t.remains("files with pseudonyms of the video: %v", err)
	}
	for _, k := range t.known {
		ids = append(ids, workspace.VideoID(t.places.Receiver, k.Path, (*pseudonym.Names)(nil).In))
		if names != nil {
			ids = append(ids, workspace.VideoID(t.places.Receiver, k.Path, names.In))
		}
	}
	return ids
}

// subjects returns the texts that identify the video in telemetry.
func (t *target) subjects() subjects {
	s := subjects{}
	add := func(texts ...string) {
		for _, text := range texts {
			if text != "" {
				s[text] = true
			}
		}
	}
	names, _ := t.pseudonyms()
	path := func(path string) {
		stem := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		add(path, filepath.Base(path))
		if names != nil {
			add(names.Of(path), names.Of(filepath.Base(path)), names.Of(stem))
		}
	}
	for _, k := range t.known {
		path(k.Path)
	}
	for _, o := range t.outputs {
		path(o.path)
		if o.report != nil {
			add(o.report.Output.SHA256, o.report.Source.SHA256, o.report.Source.Name)
		}
	}
	for _, id := range t.ids() {
		add(string(id))
	}
	return s
}

// eraseTelemetry removes the spans, log records and data points about the video from files of telemetry.
func (t *target) eraseTelemetry(ctx context.Context, dry bool) error {
	var files []string
	for _, pattern := range t.places.Telemetry {
		found, err := doublestar.FilepathGlob(pattern)
		if err != nil {
			return fmt.Errorf("%s: %w", pattern, err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	files = slices.DeleteFunc(slices.Compact(files), func(path string) bool {
		info, err := os.Lstat(path)
		other := err == nil && !info.Mode().IsRegular()
		if other {
			t.remains("%s is not a file: what it points to was not read", path)
		}
		return other
	})
	e := &eraser{subjects: t.subjects(), traces: traceSet{}}
	for _, path := range files {
		if err := errors.Join(ctx.Err(), e.collectFile(path)); err != nil {
			return err
		}
	}
	for _, path := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := e.rewriteFile(path, dry)
		if n > 0 {
			t.done.Telemetry[path] = n
		}
		if errors.Is(err, errOpen) || errors.Is(err, errUnknownLine) {
			t.remains("%v", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// eraseAudit erases the information about the video in the audit log.
func (t *target) eraseAudit(actor string, dry bool) (err error) {
	names := map[string]bool{}
	for _, o := range t.outputs {
		names[relative(t.places.Outputs, o.path)] = true
	}
	ids := map[string]bool{}
	for _, id := range t.ids() {
		ids[string(id)] = true
	}
	match := func(e audit.Entry) bool { return names[e.Output] || ids[e.Video] }
	directory := filepath.Join(t.places.State, audit.DirectoryName)
	if dry {
		t.done.Audit, err = audit.Count(directory, match)
	} else {
		t.done.Audit, err = audit.Erase(directory, actor, match)
	}
	return err
}

// Unreachable lists the places that a receiver's telemetry and files may have been sent to, but where nothing can be
// erased from here.
var Unreachable = []string{
	"Prometheus, and what it was sent to: delete the series with the label anonymizer_video_name with its deletion API",
	"Jaeger, or another trace backend: traces expire by its own retention",
	"the collector's log, such as in journald, which names videos unless telemetry::video_names is hash",
	"backups, disk snapshots, and copies that others made of outputs, reports or contact sheets",
}
