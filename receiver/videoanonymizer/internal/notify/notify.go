// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// DirectoryName is the folder in the state directory in which notifications wait.
const DirectoryName = "notifications"

// Options are the options of a Notifier.
type Options struct {
	Notifications []config.Notification
	// Receiver is the ID of the receiver.
	Receiver string
	// Outputs and State are the receiver's directories, absolute.
	Outputs, State string
	// Known returns what the journal knows about all sources.
	Known func() []watch.Known
	// Reviewed means that outputs are reviewed in a console.
	Reviewed bool
	// VideoID returns the console's ID of the source at a path. Pseudonym replaces the names of the files at paths in a
	// text.
	VideoID   func(path string) string
	Pseudonym func(text string, paths ...string) string
	Logger    *zap.Logger
}

// Notifier sends notifications of what happens to videos.
type Notifier struct {
	Options
	directory string
	targets   []*target
	changed   chan struct{}
	cursor    cursor            // up to which events are written to disk, or pending
	written   cursor            // the cursor on the disk
	pending   []Event           // not yet written to disk for all targets
	told      map[string]string // signatures of reported outcomes, by path
	outputs   map[string]bool   // outputs that have been reported, by outputOf
	audited   int64             // bytes of the audit log that have been read
}

// cursor is the position in the journal and in the audit log up to which events have been reported.
type cursor struct {
	// Journal is the time of the latest journal entry, and Audit the number of the latest audit entry.
	Journal time.Time `json:"journal"`
	Audit   int       `json:"audit"`
}

const cursorName = "cursor.json"

// New opens the pending notifications. Events before the first call are not reported.
func New(opts Options) (*Notifier, error) {
	n := &Notifier{Options: opts, directory: filepath.Join(opts.State, DirectoryName), changed: make(chan struct{}, 1),
		told: map[string]string{}, outputs: map[string]bool{}}
	for i := range opts.Notifications {
		t, err := newTarget(&opts.Notifications[i], n.directory, opts.Logger)
		if err != nil {
			return nil, fmt.Errorf("notifications[%d]: %w", i, err)
		}
		n.targets = append(n.targets, t)
	}
	if err := n.removeOthers(); err != nil {
		return nil, fmt.Errorf("notifications: %w", err)
	}
	if err := n.readCursor(); err != nil {
		return nil, fmt.Errorf("notifications: %w", err)
	}
	for _, k := range n.Known() {
		if !k.Updated.After(n.cursor.Journal) {
			n.told[k.Path], n.outputs[outputOf(&k)] = signature(&k), true
		}
	}
	return n, nil
}

// removeOthers removes the pending notifications of targets that are no longer configured.
func (n *Notifier) removeOthers() error {
	entries, err := os.ReadDir(n.directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() || slices.ContainsFunc(n.targets, func(t *target) bool { return t.Name == name }) {
			continue
		}
		n.Logger.Info("pending notifications are dropped: the configuration no longer has this one", zap.String("name", name))
		if err := os.RemoveAll(filepath.Join(n.directory, name)); err != nil {
			return err
		}
	}
	return nil
}

// readCursor reads the cursor. If there is none, it starts after everything that has happened so far.
func (n *Notifier) readCursor() error {
	text, err := durable.ReadFile(filepath.Join(n.directory, cursorName))
	if err == nil {
		err = json.Unmarshal(text, &n.cursor)
	}
	if err == nil {
		n.written = n.cursor
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		n.Logger.Warn("the position of a notification cannot be read: it continues with new events only", zap.Error(err))
	}
	n.cursor = cursor{Journal: time.Now().UTC()}
	if err := n.eachEntry(func(e *audit.Entry) { n.cursor.Audit = e.Seq }); err != nil {
		return err
	}
	return n.writeCursor()
}

func (n *Notifier) writeCursor() error {
	text, err := json.Marshal(n.cursor)
	if err != nil {
		return err
	}
	err = durable.ReplaceFile(filepath.Join(n.directory, cursorName), text, durable.Private)
	if err == nil {
		n.written = n.cursor
	}
	return err
}

// Changed tells the notifier that the journal has changed. It returns at once.
func (n *Notifier) Changed() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// The audit log is checked every auditInterval, and the journal at most every journalInterval.
const auditInterval, journalInterval = time.Second, time.Second

// Run sends notifications until the context ends. Those not delivered by then are delivered after the next start.
func (n *Notifier) Run(ctx context.Context) {
	var targets sync.WaitGroup
	for _, t := range n.targets {
		targets.Go(func() { t.run(ctx) })
	}
	defer targets.Wait()
	ticker := time.NewTicker(auditInterval)
	defer ticker.Stop()
	failing := ""
	for look := true; ; {
		err := n.look(look)
		if text := fmt.Sprint(err); err != nil && text != failing {
			n.Logger.Error("events for notifications cannot be written to disk: will retry in a second", zap.Error(err))
			failing = text
		} else if err == nil {
			failing = ""
		}
		look = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-n.changed:
			look = true
			select { // one look for many changes
			case <-ctx.Done():
				return
			case <-time.After(journalInterval):
			}
		}
	}
}

// look writes new events to disk, from the audit log and, if journal is set, from the journal. It moves the cursor once
// they are on disk. After a crash in between, it writes them again, with the same IDs.
func (n *Notifier) look(journal bool) error {
	if journal {
		n.pending = append(n.pending, n.newOutcomes()...)
	}
	if err := n.newEntries(func(e *audit.Entry) {
		if event, ok := n.review(e); ok && e.Seq > n.cursor.Audit {
			n.pending = append(n.pending, event)
		}
		n.cursor.Audit = max(n.cursor.Audit, e.Seq)
	}); err != nil {
		return err
	}
	for ; len(n.pending) > 0; n.pending = n.pending[1:] {
		for _, t := range n.targets {
			if err := t.add(&n.pending[0]); err != nil {
				return err
			}
		}
	}
	if n.cursor == n.written {
		return nil
	}
	return n.writeCursor()
}

// newOutcomes returns the events for outcomes that have not been reported, oldest first.
func (n *Notifier) newOutcomes() (events []Event) {
	all := n.Known()
	slices.SortFunc(all, func(a, b watch.Known) int {
		return cmp.Or(a.Updated.Compare(b.Updated), strings.Compare(a.Path, b.Path))
	})
	for i := range all {
		k := &all[i]
		if k.Updated.After(n.cursor.Journal) {
			n.cursor.Journal = k.Updated
		}
		if k.Phase != watch.PhaseDone && k.Phase != watch.PhaseFailed {
			delete(n.told, k.Path) // another attempt may have the same outcome
			continue
		}
		sign, output := signature(k), outputOf(k)
		renamed := k.Phase == watch.PhaseDone && n.outputs[output]
		if n.told[k.Path] != sign && !renamed {
			events = append(events, n.outcomes(k)...)
		}
		n.told[k.Path], n.outputs[output] = sign, true
	}
	return events
}

func (n *Notifier) auditPath() string {
	return filepath.Join(n.State, audit.DirectoryName, audit.FileName)
}

// newEntries calls use for each complete line that was added to the audit log.
func (n *Notifier) newEntries(use func(*audit.Entry)) error {
	if !n.Reviewed {
		return nil
	}
	file, err := durable.Open(n.auditPath(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() == n.audited {
		return err
	}
	if _, err := file.Seek(n.audited, io.SeekStart); err != nil {
		return err
	}
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a line that is still being written is read next time
		}
		if err != nil {
			return err
		}
		n.audited += int64(len(line))
		var e audit.Entry
		if json.Unmarshal(line, &e) == nil {
			use(&e)
		}
	}
}

// eachEntry calls use for all entries of the audit log.
func (n *Notifier) eachEntry(use func(*audit.Entry)) error {
	n.audited = 0
	return n.newEntries(use)
}

// FilesAbout returns the files in a state directory with pending notifications about the videos with the given IDs.
func FilesAbout(state string, ids []string) (files []string) {
	parent := filepath.Join(state, DirectoryName)
	targets, _ := os.ReadDir(parent)
	for _, t := range targets {
		names, _ := (&target{directory: filepath.Join(parent, t.Name())}).waiting()
		for _, name := range names {
			path := filepath.Join(parent, t.Name(), name)
			text, err := durable.ReadFile(path)
			var e Event
			if err == nil && json.Unmarshal(text, &e) == nil && slices.Contains(ids, e.Video) {
				files = append(files, path)
			}
		}
	}
	return files
}
