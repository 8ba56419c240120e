// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package watch knows which files are ready, who works on them, and what became of them.
//
// A file is ready once it is a regular file with a name that is not hidden or marked as incomplete, has stayed the same for
// a while, is open for writing nowhere (where the file system tells), and is neither done, nor failed for good, nor an
// output of ours. Looking at the folders again and again is what decides; inotify only makes the next look come sooner,
// since network file systems say nothing.
//
// What became of a file is remembered in a journal, see journal.go. A file counts as done as long as its content is the
// same, judged by path, size, times, inode and, where those differ, a digest:
//
//   - untouched, restored from a backup, chmod, another mount: done;
//   - renamed or moved within the watched folders: done, as long as nothing stands under the old name;
//   - touch: done while its output stands where it was put; with the output gone it is a request to do the video again;
//   - other content: a new video;
//   - the same content under two names: two videos.
//
// A file that failed for good is tried again after any change, even of its permissions or its name.
package watch

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// ErrStopped is returned once the watcher was stopped.
var ErrStopped = errors.New("the watcher is stopped")

// Watcher hands out the files that are ready, each once.
//
// Lock order: mu, then the journal's. Once the watcher runs, no I/O happens under mu.
type Watcher struct {
	opts    Options
	logger  *zap.Logger
	now     func() time.Time
	scanner *scanner
	journal *journal
	// outputDirectory is Options.OutputDirectory, absolute and without symbolic links.
	outputDirectory string

	notify *fsnotify.Watcher // nil where the kernel refuses
	wake   chan struct{}
	cancel context.CancelFunc
	loops  sync.WaitGroup

	// These belong to poll: what the current look found, what was last logged of a folder,
	// and the number of folders that inotify was asked about.
	seen     []found
	told     map[string]string
	notified int

	mu         sync.Mutex
	running    bool
	stopped    bool
	generation uint64
	files      map[string]*file
	active     map[*Job]bool
	reserved   map[string]bool // outputs of active jobs
	changed    chan struct{}   // closed when something changed that others may wait for
}

// file is one that the last look found.
type file struct {
	path, rel  string
	stamp      stamp
	generation uint64
	phase      phase
	// since is when a settling file was first seen as it is; due, when a queued one may be taken.
	since, due time.Time
	// suspect tells that the collector died while it worked on this file. Suspects are worked on one at a time, so that
	// the one that kills the collector does not take others down with it again and again.
	suspect bool
	// troubles counts what kept it from being claimed.
	troubles int
	told     bool
}

type phase int

const (
	settling phase = iota // is watched for changes
	queued                // is ready
	claimed               // is worked on
	settled               // nothing to do until it changes
)

// New checks the options. It touches no file.
func New(opts Options) (*Watcher, error) {
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	if opts.OnSuccess == "" {
		opts.OnSuccess = OnSuccessKeep
	}
	if opts.Retry == (Retry{}) {
		opts.Retry = DefaultRetry
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	scanner, err := newScanner(opts.Config)
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		opts: opts, logger: opts.Logger, now: time.Now, scanner: scanner,
		wake: make(chan struct{}, 1), told: map[string]string{},
		files: map[string]*file{}, active: map[*Job]bool{}, reserved: map[string]bool{}, changed: make(chan struct{}),
	}
	scanner.entered, scanner.trouble = w.entered, w.trouble
	return w, nil
}

// Start opens the journal, tidies up after a crash and begins to look at the folders.
func (w *Watcher) Start() error {
	if err := w.open(); err != nil {
		return err
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		w.logger.Info("no notice of new files: they are found by looking every poll_interval", zap.Error(err))
	}
	w.notify = notify
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.loops.Go(func() { w.look(ctx) })
	if notify != nil {
		w.loops.Go(func() { w.listen(notify) })
	}
	return nil
}

// open does what comes before the first look.
func (w *Watcher) open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return ErrStopped
	}
	if w.running {
		return errors.New("the watcher runs already")
	}
	state := w.opts.StateDirectory
	if state == "" {
		state = filepath.Join(w.opts.OutputDirectory, StateDirectoryName)
	}
	if err := w.prepareFolders(state); err != nil {
		return err
	}
	journal, err := openJournal(state, w.logger)
	if err != nil {
		return err
	}
	w.journal = journal
	w.recover()
	w.running = true
	return nil
}

// prepareFolders makes the folders and tells the scanner where no sources are.
func (w *Watcher) prepareFolders(state string) error {
	var err error
	if w.outputDirectory, err = makeFolder(w.opts.OutputDirectory); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	if state, err = makeFolder(state); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	w.scanner.skip[state] = true
	for _, directory := range []*string{&w.opts.MoveTo, &w.opts.QuarantineDirectory} {
		if *directory == "" {
			continue
		}
		if *directory, err = makeFolder(*directory); err != nil {
			return err
		}
		w.scanner.skip[*directory] = true
	}
	for _, r := range w.scanner.roots {
		w.welcome(r)
	}
	for _, r := range w.scanner.roots {
		base, err := filepath.EvalSymlinks(r.base)
		if err != nil {
			continue
		}
		for skip := range w.scanner.skip {
			if within(base, skip) {
				return fmt.Errorf("the watched folder %s lies in %s, where finished or failed files go: use folders apart from each other", base, skip)
			}
		}
	}
	// The folder for outputs may be a watched one, or hold it: then the journal tells the outputs.
	w.scanner.skip[w.outputDirectory] = true
	return nil
}

// makeFolder gives its absolute path without symbolic links.
func makeFolder(directory string) (string, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return "", err
	}
	directory, err := filepath.Abs(directory)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(directory)
}

// welcome makes a watched folder that is missing below the working directory, where a newcomer expects it. Elsewhere a
// missing folder is more likely a disk that is not mounted yet.
func (w *Watcher) welcome(r root) {
	here, err := os.Getwd()
	if err != nil || r.literal || !within(r.base, here) {
		return
	}
	if there, err := exists(r.base); err != nil || there {
		return
	}
	if err := os.MkdirAll(r.base, 0o755); err != nil {
		w.logger.Warn("the watched folder is missing and cannot be made", zap.String("folder", r.base), zap.Error(err))
		return
	}
	w.logger.Info("made the watched folder", zap.String("folder", r.base))
}

// Stop ends Next at once, waits for the claimed jobs until the context ends, gives up those that remain, and closes the
// journal. It may be called more than once, and without Start.
func (w *Watcher) Stop(ctx context.Context) error {
	w.mu.Lock()
	w.stopped = true
	w.broadcast()
	running := w.running
	w.mu.Unlock()
	if !running {
		return nil
	}
	if w.cancel != nil {
		w.cancel()
		if w.notify != nil {
			w.notify.Close()
		}
	}
	err := w.awaitJobs(ctx)
	looked := make(chan struct{})
	go func() {
		w.loops.Wait()
		close(looked)
	}()
	select {
	case <-looked:
	case <-ctx.Done(): // a look hangs in a file system that does not answer
		err = errors.Join(err, fmt.Errorf("a look at the watched folders has not ended: %w", ctx.Err()))
	}
	return errors.Join(err, w.journal.close())
}

// awaitJobs waits until all jobs have ended, and ends those that have not.
func (w *Watcher) awaitJobs(ctx context.Context) error {
	for {
		w.mu.Lock()
		remaining, changed := make([]*Job, 0, len(w.active)), w.changed
		for j := range w.active {
			remaining = append(remaining, j)
		}
		w.mu.Unlock()
		if len(remaining) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			for _, j := range remaining {
				j.Suspend()
			}
			return fmt.Errorf("%d videos were given up unfinished: %w", len(remaining), ctx.Err())
		}
	}
}

// QueueLength is the number of files that are ready and wait to be claimed.
func (w *Watcher) QueueLength() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, n := w.now(), 0
	for _, f := range w.files {
		if f.phase == queued && !f.due.After(now) {
			n++
		}
	}
	return n
}

// Next waits for a file that is complete and not yet done, and claims it: the one that is ready for longest, and among
// equals the oldest. It returns the context's error, or ErrStopped. It may be called by several goroutines.
func (w *Watcher) Next(ctx context.Context) (*Job, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		w.mu.Lock()
		if w.stopped {
			w.mu.Unlock()
			return nil, ErrStopped
		}
		f, changed := w.pick(), w.changed
		w.mu.Unlock()
		if f != nil {
			if job := w.claim(f); job != nil {
				return job, nil
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// pick takes the next file out of the queue, if there is one. Called under mu.
func (w *Watcher) pick() *file {
	suspects := false
	for _, f := range w.files {
		suspects = suspects || f.phase == claimed && f.suspect
	}
	now := w.now()
	var first *file
	for _, f := range w.files {
		if f.phase == queued && !f.due.After(now) && !(suspects && f.suspect) && (first == nil || before(f, first)) {
			first = f
		}
	}
	if first != nil {
		first.phase = claimed
	}
	return first
}

func before(a, b *file) bool {
	return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.stamp.MTime, b.stamp.MTime), strings.Compare(a.path, b.path)) < 0
}

// broadcast wakes everybody who waits for a change. Called under mu.
func (w *Watcher) broadcast() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// look polls until the context ends: every poll interval, sooner when a file is about to be ready or inotify says that
// one came, later when looking takes so long that it would be a burden.
func (w *Watcher) look(ctx context.Context) {
	for {
		start := time.Now()
		wait := w.poll()
		gap := max(min(minGap, w.opts.Config.PollInterval), burden*time.Since(start))
		timer := time.NewTimer(max(gap, wait))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.wake:
			select { // a thousand files at once are one reason to look
			case <-time.After(gap):
			case <-ctx.Done():
			}
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

const (
	// minGap is the least time between two looks.
	minGap = 200 * time.Millisecond
	// burden is how many times as long as a look took the watcher rests after it, so that it uses at most 5 % of a core.
	burden = 19
)

// listen turns what inotify says into wake-ups.
func (w *Watcher) listen(notify *fsnotify.Watcher) {
	for {
		select {
		case event, ok := <-notify.Events:
			if !ok {
				return
			}
			if event.Has(fsnotify.Create) || event.Has(fsnotify.Rename) {
				w.lookSoon()
			}
		case _, ok := <-notify.Errors: // an overflow loses wake-ups only
			if !ok {
				return
			}
		}
	}
}

// poll looks at the folders once and gives the time until the next look.
func (w *Watcher) poll() time.Duration {
	w.seen = w.seen[:0]
	w.notified = 0
	w.scanner.scan(func(f found) { w.seen = append(w.seen, f) })

	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.generation++
	for i := range w.seen {
		w.see(&w.seen[i], now)
	}
	wait := w.opts.Config.PollInterval
	ready := false
	for path, f := range w.files {
		if f.generation != w.generation && f.phase != claimed {
			delete(w.files, path)
			continue
		}
		if f.phase == settling {
			if remaining := w.opts.Config.StableFor - now.Sub(f.since); remaining > 0 {
				wait = min(wait, remaining)
			} else {
				f.phase, f.due = queued, now
			}
		}
		if f.phase == queued {
			if remaining := f.due.Sub(now); remaining > 0 {
				wait = min(wait, remaining)
			} else {
				ready = true
			}
		}
	}
	if ready {
		w.broadcast()
	}
	return wait
}

// see compares a file with what is known of it. Called under mu.
func (w *Watcher) see(seen *found, now time.Time) {
	f := w.files[seen.path]
	if f != nil {
		f.generation = w.generation
		if f.phase == claimed || f.stamp == seen.stamp {
			return
		}
	}
	if w.reserved[seen.path] {
		return
	}
	told := f != nil && f.told
	f = &file{path: seen.path, rel: seen.rel, stamp: seen.stamp, generation: w.generation, phase: settling, since: now, told: told}
	w.files[seen.path] = f
	if seen.mode != unix.S_IFREG {
		f.phase = settled
		if !told {
			f.told = true
			w.logger.Warn("left alone: it is no regular file", zap.String("file", f.path), zap.String("kind", kindOf(seen.mode)))
		}
		return
	}
	if w.journal.isOutput(f.path) {
		f.phase = settled
		return
	}
	known, ok := w.journal.source(f.path)
	if !ok {
		return
	}
	f.suspect = known.State == statePending && known.Died > 0 && known.Stamp.sameFile(f.stamp)
	if known.Stamp == f.stamp && (known.State == stateDone || known.State == stateFailed || known.State == stateOutput) {
		f.phase = settled
	}
}

func kindOf(mode uint32) string {
	switch mode {
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFIFO:
		return "named pipe"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "device"
}

// maxNotified bounds the folders that inotify is asked about.
const maxNotified = 256

// entered is told by the scanner of each folder that it reads.
func (w *Watcher) entered(directory string) {
	if w.told[directory] != "" {
		delete(w.told, directory)
		w.logger.Info("the watched folder can be read now", zap.String("folder", directory))
	}
	if w.notify != nil && w.notified < maxNotified {
		w.notified++
		_ = w.notify.Add(directory) // again each time, since the folder may be another one by now
	}
}

// trouble is told by the scanner of each folder that it cannot read.
func (w *Watcher) trouble(directory string, err error) {
	if w.told[directory] == err.Error() {
		return
	}
	w.told[directory] = err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		w.logger.Info("waiting for the watched folder to appear", zap.String("folder", directory))
		return
	}
	w.logger.Warn("a watched folder cannot be read: its files wait until it can", zap.String("folder", directory), zap.Error(err))
}

// claim makes a job of a file, unless a closer look tells that there is nothing to do, or not yet.
func (w *Watcher) claim(f *file) *Job {
	sum, ok := w.inspect(f)
	if !ok {
		return nil
	}
	if sum != "" && w.known(f, sum) {
		return nil
	}
	job, err := w.newJob(f, sum)
	if err != nil {
		f.troubles++
		wait := w.opts.Retry.backoff(f.troubles)
		w.logger.Warn("a video cannot be begun", zap.String("file", f.path), zap.Duration("next_try_in", wait), zap.Error(err))
		w.put(f, queued, wait)
		return nil
	}
	return job
}

// inspect opens the file: is it still what the last look saw, and does nobody write to it? The digest is empty for a file
// that cannot be read, which the job's owner will find, and report, too.
func (w *Watcher) inspect(f *file) (sum string, ok bool) {
	opened, st, err := openRegular(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ELOOP), errors.Is(err, errNotRegular), errors.Is(err, unix.ENXIO),
		err == nil && st != f.stamp:
		if err == nil {
			opened.Close()
		}
		w.forget(f)
		return "", false
	case err != nil:
		return "", true
	}
	defer opened.Close()
	if hasWriter(opened) {
		if !f.told {
			f.told = true
			w.logger.Info("waiting for a video that is still open for writing", zap.String("file", f.path))
		}
		w.put(f, queued, max(w.opts.Config.StableFor, minGap))
		return "", false
	}
	sum, err = digest(opened, st.Size)
	if err != nil {
		return "", true
	}
	return sum, true
}

// known tells whether there is nothing to do, since we made the file ourselves or it is done under another name or with
// other times, and records it.
func (w *Watcher) known(f *file, sum string) bool {
	same := content{f.stamp.Size, sum}
	entry := source{Path: pathText(f.path), Rel: pathText(f.rel), Stamp: f.stamp, Digest: sum}
	if made, ok := w.journal.madeAs(same); ok {
		entry.State = stateOutput
		w.logger.Info("left alone: it is one of our outputs", zap.String("file", f.path), zap.String("made_as", made))
	} else if earlier, ok := w.doneBefore(f, same); ok {
		entry.State, entry.Output = stateDone, earlier.Output
		w.logger.Info("left alone: it was done before", zap.String("file", f.path), zap.String("done_as", string(earlier.Path)))
	} else {
		return false
	}
	if earlier, ok := w.journal.source(f.path); ok {
		w.removeLeft(earlier)
	}
	if err := w.journal.put(entry); err != nil {
		w.logger.Warn("not recorded: it will be looked at again after a restart", zap.String("file", f.path), zap.Error(err))
	}
	w.put(f, settled, 0)
	return true
}

// doneBefore finds the source that this one is the same as, by the rules at the top of this file.
func (w *Watcher) doneBefore(f *file, same content) (source, bool) {
	for _, s := range w.journal.doneWith(same) {
		untouched := s.Stamp.MTime == f.stamp.MTime
		if string(s.Path) == f.path {
			if untouched || s.Output != nil && stands(string(s.Output.Path)) {
				return s, true
			}
		} else if untouched && !s.Gone && !stands(string(s.Path)) {
			return s, true
		}
	}
	return source{}, false
}

func stands(path string) bool {
	there, err := exists(path)
	return there || err != nil
}

// newJob reserves a name for the output and records the claim.
func (w *Watcher) newJob(f *file, sum string) (*Job, error) {
	final, err := w.reserve(f.rel)
	if err != nil {
		return nil, err
	}
	entry := source{
		Path: pathText(f.path), Rel: pathText(f.rel), State: stateClaimed, Stamp: f.stamp, Digest: sum, Attempt: 1,
		Temp: pathText(tempPath(final)), Output: &output{Path: pathText(final)},
	}
	earlier, ok := w.journal.source(f.path)
	again := ok && earlier.State == statePending && earlier.Stamp.sameFile(f.stamp)
	if again {
		entry.Attempt, entry.Died, entry.Furthest = earlier.Attempt+1, earlier.Died, earlier.Furthest
	}
	resumable := again && earlier.Digest == sum && fits(string(earlier.Temp), final)
	if resumable {
		entry.Temp = earlier.Temp
	} else {
		w.removeLeft(earlier)
	}
	job := &Job{
		Path: f.path, Output: final, Temp: string(entry.Temp), Attempt: entry.Attempt, Size: f.stamp.Size, ModTime: f.stamp.modTime(),
		watcher: w, file: f, entry: entry, resumable: resumable,
	}
	w.mu.Lock()
	w.active[job] = true
	w.mu.Unlock()
	err = makeFolders(filepath.Dir(final))
	if err == nil {
		err = w.journal.put(entry)
	}
	if err != nil {
		w.mu.Lock()
		delete(w.active, job)
		w.unreserve(final)
		w.mu.Unlock()
		return nil, err
	}
	return job, nil
}

// fits tells whether a temporary name of an earlier attempt serves for an output: it stands beside it, and has its extension.
func fits(temp, final string) bool {
	return temp != "" && filepath.Dir(temp) == filepath.Dir(final) && filepath.Ext(temp) == filepath.Ext(tempPath(final))
}

// removeLeft removes what an earlier attempt left, if it left something.
func (w *Watcher) removeLeft(s source) {
	if s.Temp == "" {
		return
	}
	if err := removeTemps(string(s.Temp)); err != nil {
		w.logger.Warn("what an earlier attempt left cannot be removed", zap.String("file", string(s.Path)), zap.Error(err))
	}
}

const (
	// maxName is NAME_MAX of nearly all file systems, in bytes.
	maxName = 255
	// numberRoom is left in a shortened name for a number.
	numberRoom = len("-9999")
	maxNumber  = 9999
)

// reserve finds a name for the output that no file and no other job has: the one that OutputName gives, else with a number.
func (w *Watcher) reserve(rel string) (string, error) {
	final, err := w.outputPath(rel)
	if err != nil {
		return "", err
	}
	for n := 1; n <= maxNumber; n++ {
		candidate := numbered(final, n)
		names := w.names(candidate)
		w.mu.Lock()
		taken := slices.ContainsFunc(names, func(name string) bool { return w.reserved[name] })
		if !taken {
			for _, name := range names {
				w.reserved[name] = true
			}
		}
		w.mu.Unlock()
		if taken {
			continue
		}
		there, err := anyExists(names)
		if err == nil && !there {
			return candidate, nil
		}
		w.mu.Lock()
		w.unreserve(candidate)
		w.mu.Unlock()
		if err != nil {
			return "", fmt.Errorf("output name: %w", err)
		}
	}
	return "", fmt.Errorf("output name: %s and %d names with a number are taken: empty the folder", final, maxNumber-1)
}

// names are those that an output takes, with what may come beside it.
func (w *Watcher) names(output string) []string {
	names := []string{output}
	if w.opts.Beside != nil {
		names = append(names, w.opts.Beside(output)...)
	}
	return names
}

// unreserve lets go of an output's names. Called under mu.
func (w *Watcher) unreserve(output string) {
	for _, name := range w.names(output) {
		delete(w.reserved, name)
	}
}

func anyExists(names []string) (bool, error) {
	for _, name := range names {
		if there, err := exists(name); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// outputPath asks OutputName and shortens the input's name until the output's fits.
func (w *Watcher) outputPath(rel string) (string, error) {
	short := rel
	for {
		final := w.opts.OutputName(short)
		if !filepath.IsAbs(final) {
			final = filepath.Join(w.outputDirectory, final)
		} else if below, err := filepath.Rel(absolute(w.opts.OutputDirectory), final); err == nil {
			final = filepath.Join(w.outputDirectory, below)
		}
		if final == w.outputDirectory || !within(final, w.outputDirectory) {
			return "", fmt.Errorf("output name: %s lies outside of the output directory %s", final, w.outputDirectory)
		}
		over := -maxName
		for _, name := range w.names(final) {
			over = max(over, len(filepath.Base(name))-maxName)
		}
		if over <= 0 {
			return final, nil
		}
		dir, name := path.Split(short)
		ext := path.Ext(name)
		stem := strings.TrimSuffix(name, ext)
		keep := len(stem) - over - numberRoom
		if keep < 1 {
			return "", fmt.Errorf("output name: %s is too long: shorten the video's name", final)
		}
		for keep > 1 && !utf8.RuneStart(stem[keep]) {
			keep--
		}
		short = dir + stem[:keep] + ext
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// numbered puts -2, -3, ... before the extension; 1 gives the name as it is.
func numbered(path string, n int) string {
	if n == 1 {
		return path
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), n, ext)
}

// tempPrefix begins the names of all files that are ours and not finished. A token of so many letters follows.
const (
	tempPrefix  = ".anonymizing-"
	tokenLength = 16
)

// tempPath gives a name beside final that nobody else has, short enough whatever the final name, with its extension,
// by which ffmpeg chooses the container.
func tempPath(final string) string {
	token := make([]byte, tokenLength/2)
	_, _ = rand.Read(token) // never fails
	ext := filepath.Ext(final)
	if len(ext) > 16 {
		ext = ""
	}
	return filepath.Join(filepath.Dir(final), tempPrefix+hex.EncodeToString(token)+ext)
}

// put changes the phase of a file that the caller has claimed.
func (w *Watcher) put(f *file, p phase, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f.phase, f.due = p, w.now().Add(wait)
	w.broadcast()
	if wait > 0 {
		w.lookSoon() // which finds out when to look next
	}
}

// lookSoon makes the next look come without waiting for the poll interval.
func (w *Watcher) lookSoon() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// forget makes the next look see the file as a new one.
func (w *Watcher) forget(f *file) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.files, f.path)
}

// backoff is the wait after the n-th failure, n from 1.
func (r Retry) backoff(n int) time.Duration {
	wait := r.InitialInterval
	for i := 1; i < n && wait < r.MaxInterval; i++ {
		wait *= 2
	}
	return min(wait, r.MaxInterval)
}

// recover finishes what the collector was at when it ended, and gives files that were given up another chance. Files that
// are missing or cannot be written now do not keep the others waiting.
func (w *Watcher) recover() {
	for _, s := range w.journal.unfinished() {
		if err := w.recoverOne(s); err != nil {
			w.logger.Warn("not tidied up after the last run: it is tried again at the next start", zap.String("file", string(s.Path)), zap.Error(err))
		}
	}
}

func (w *Watcher) recoverOne(s source) error {
	keep := s.State == stateClaimed || s.State == statePending // it may go on where it was cut off
	switch {
	case s.State == statePublishing && w.completePublishing(&s):
		s.State = stateDone
		s.Action = w.opts.successAction()
		w.logger.Info("the last run had finished this video", zap.String("file", string(s.Path)), zap.String("output", string(s.Output.Path)))
	case s.State == stateClaimed || s.State == statePublishing:
		if err := removeUnpublished(s.Beside); err != nil {
			return err
		}
		s.State, s.Output, s.Beside = statePending, nil, nil
		s.Died++
		w.logger.Warn("the collector ended while it worked on this video: it is taken again", zap.String("file", string(s.Path)),
			zap.Int("attempt", s.Attempt))
		if s.Attempt >= w.opts.Retry.MaxAttempts {
			s.State, s.Reason = stateFailed, ReasonCrash
			s.Error = fmt.Sprintf("the collector ended %d times while it worked on this video, in %d attempts: it may be the cause", s.Died, s.Attempt)
			s.Action = w.opts.failureAction()
			w.logger.Error("a video was given up", zap.String("file", string(s.Path)), zap.String("error", s.Error))
		}
	case s.GaveUp:
		s.State, s.Attempt, s.GaveUp, s.Reason, s.Error, s.Action = statePending, 0, false, "", "", ""
	}
	if s.Temp != "" && (!keep || s.State != statePending || !mayStillBe(s)) {
		if err := removeTemps(string(s.Temp)); err != nil {
			return err
		}
		s.Temp = ""
	}
	if err := w.journal.put(s); err != nil {
		return err
	}
	return w.act(s)
}

// mayStillBe tells whether a source is what it was, as far as that can be told: its whole folder may be missing because its disk is not
// mounted yet.
func mayStillBe(s source) bool {
	st, _, err := lstat(string(s.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return !stands(filepath.Dir(string(s.Path)))
	}
	return err != nil || st.sameFile(s.Stamp)
}

// completePublishing tells whether the complete output stands under its final name, or now does.
func (w *Watcher) completePublishing(s *source) bool {
	if s.Output == nil || s.Output.Digest == "" {
		return false
	}
	if s.Output.standsAt(s.Output.Path) {
		return true
	}
	st, _, err := lstat(string(s.Path))
	unchanged := err == nil && st.sameFile(s.Stamp) || errors.Is(err, fs.ErrNotExist)
	if !unchanged || !s.Output.standsAt(s.Temp) {
		return false
	}
	for _, b := range s.Beside {
		if !b.standsAt(b.Path) && (!b.standsAt(b.Temp) || renameDurably(string(b.Temp), string(b.Path)) != nil) {
			return false
		}
	}
	return renameDurably(string(s.Temp), string(s.Output.Path)) == nil
}

// standsAt tells whether the complete file stands at the path.
func (o *output) standsAt(path pathText) bool {
	sum, size, err := digestPath(string(path))
	return err == nil && sum == o.Digest && size == o.Size
}

// removeUnpublished removes what already had its final name beside an output that never got its own. Another file of that
// name is left alone.
func removeUnpublished(files []beside) error {
	var errs []error
	for _, b := range files {
		if b.standsAt(b.Path) {
			errs = append(errs, os.Remove(string(b.Path)))
		}
	}
	return errors.Join(errs...)
}

// removeTemps removes the file or folder at temp, and those whose names begin as its does, up to the extension.
func removeTemps(temp string) error {
	directory, name := filepath.Split(temp)
	if !strings.HasPrefix(name, tempPrefix) || len(name) < len(tempPrefix)+tokenLength {
		return fmt.Errorf("%s is not a temporary name of ours", temp)
	}
	name = name[:len(tempPrefix)+tokenLength]
	entries, err := os.ReadDir(directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, entry := range slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), name) }) {
		errs = append(errs, os.RemoveAll(filepath.Join(directory, entry.Name())))
	}
	return errors.Join(errs...)
}

// renameDurably renames without replacing and makes the new name survive a power cut.
func renameDurably(from, to string) error {
	if err := renameNoReplace(from, to); err != nil {
		return err
	}
	return durable.SyncPath(filepath.Dir(to))
}
