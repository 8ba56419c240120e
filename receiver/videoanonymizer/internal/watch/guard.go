// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// guard notices, with each poll, that the output directory or the state directory was removed while it was in use, or
// that its disk was unmounted. It creates a removed directory again, and writes the journal again from memory, so that
// finished videos stay finished. No video is started while that fails, or while the disk is missing: outputs would fill
// the disk below the mount point, and outcomes would be forgotten. Only the polling goroutine uses it.
type guard struct {
	output   folderDevice
	journal  *journal
	disposal *disposal
	report   func(error) // a nil error means that all is well again
	logger   *zap.Logger
	now      func() time.Time

	lastLogged string    // why no video is started
	since      time.Time // since when no video is started, if lastLogged is set
}

func newGuard(output string, journal *journal, disposal *disposal, opts *Options) *guard {
	return &guard{
		output: deviceOf(output), journal: journal, disposal: disposal, report: opts.ReportStatus, logger: opts.Logger,
		now: disposal.now,
	}
}

// restoreAfter is how long a directory must be gone before it is created again, so that a removal that is still in
// progress does not fail because the directory is not empty.
const restoreAfter = 5 * time.Second

// check reports whether videos may be started. If final is set, it does not wait for restoreAfter.
func (g *guard) check(final bool) bool {
	loss := g.journal.intact()
	if errors.Is(loss, ErrStopped) {
		return false
	}
	if err := g.output.gone(); err != nil {
		loss = err
	}
	if loss != nil && g.lastLogged == "" {
		g.since = g.now()
		g.lose(loss)
		g.disposal.keepWithoutOutput()
	}
	if loss != nil {
		if !final && g.now().Sub(g.since) < restoreAfter {
			return false
		}
		if err := g.restore(); err != nil {
			g.lose(err)
			return false
		}
	}
	if g.lastLogged != "" {
		g.lastLogged = ""
		g.logger.Warn("the output and state directories are in order again: finished videos stay finished",
			zap.String("output", g.output.path), zap.String("state", g.journal.directory.path))
		g.setStatus(nil)
	}
	return true
}

func (g *guard) restore() error {
	if err := g.output.restore(); err != nil {
		return err
	}
	return g.journal.restore()
}

// lose logs and reports why no video is started, unless that was logged last.
func (g *guard) lose(err error) {
	if err.Error() == g.lastLogged {
		return
	}
	g.lastLogged = err.Error()
	g.logger.Error("no videos are started until the output and state directories are in order", zap.Error(err))
	g.setStatus(err)
}

func (g *guard) setStatus(err error) {
	if g.report != nil {
		g.report(err)
	}
}

// folderDevice is a folder, and the disk that it is on.
type folderDevice struct {
	path   string // absolute, without symbolic links
	device uint64
	// mounted means that a disk is mounted on the folder itself.
	mounted bool
}

func deviceOf(folder string) folderDevice {
	d := folderDevice{path: folder}
	d.device, _ = device(folder)
	above, _ := device(filepath.Dir(folder))
	d.mounted = above != d.device
	return d
}

// device returns the number of the disk that a folder is on.
func device(folder string) (uint64, error) {
	var st unix.Stat_t
	if err := retryEINTR(func() error { return unix.Stat(folder, &st) }); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: folder, Err: err}
	}
	return st.Dev, nil
}

// gone returns an error if the folder was removed, is no longer on its disk, or cannot be reached.
func (d *folderDevice) gone() error {
	now, err := device(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the directory %s was removed, with all its contents, while it was in use", d.path)
	case err != nil || now == d.device:
		return err
	}
	if above, err := device(filepath.Dir(d.path)); err == nil && d.mounted && above == now {
		return d.notMounted()
	}
	d.device = now // the disk was mounted again, under another number
	return nil
}

// restore creates the folder again if it was removed. It fails if its disk is not mounted.
func (d *folderDevice) restore() error {
	there, err := exists(d.path)
	if err != nil {
		return err
	}
	if !there {
		return d.create()
	}
	return d.gone()
}

// create creates the folder, unless its disk is missing.
func (d *folderDevice) create() error {
	for above := filepath.Dir(d.path); ; above = filepath.Dir(above) {
		now, err := device(above)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case d.mounted || now != d.device:
			return d.notMounted()
		}
		return makeFolders(d.path)
	}
}

func (d *folderDevice) notMounted() error {
	return fmt.Errorf("the disk of %s is no longer mounted: mount it, or create the folder and restart the collector",
		d.path)
}

// intact returns an error if the journal's files are no longer the ones that are open.
func (j *journal) intact() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.file == nil {
		return ErrStopped
	}
	if err := sameOpen(j.lockPath(), j.lock); err != nil {
		return err
	}
	return sameOpen(j.path, j.file)
}

func (j *journal) lockPath() string { return filepath.Join(filepath.Dir(j.path), lockName) }

// sameOpen returns an error unless the path still names the open file.
func sameOpen(path string, open *os.File) error {
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", errRemoved, path)
	}
	if err != nil {
		return err
	}
	info, err := open.Stat()
	if err != nil {
		return err
	}
	if os.SameFile(there, info) {
		return nil
	}
	// Some network and user-space file systems give a file a new inode number each time.
	if onSharedFileSystem(open) && there.Size() == info.Size() && there.ModTime().Equal(info.ModTime()) {
		return nil
	}
	return fmt.Errorf("%w: %s", errReplaced, path)
}

var (
	errRemoved  = errors.New("a file of the state directory was removed while it was in use")
	errReplaced = errors.New("a file of the state directory was replaced while it was in use: restart the collector")
)

// restore locks the state directory again, and writes the journal again from memory if it was removed. It fails with
// errReplaced if another journal has taken its place. It also fails if another process has the lock.
func (j *journal) restore() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.file == nil {
		return ErrStopped
	}
	if err := j.directory.restore(); err != nil {
		return err
	}
	journalErr := sameOpen(j.path, j.file)
	if journalErr != nil && !errors.Is(journalErr, errRemoved) {
		return journalErr
	}
	if err := sameOpen(j.lockPath(), j.lock); err != nil {
		lock, err := lockFile(j.lockPath())
		if err != nil {
			return err
		}
		j.lock.Close()
		j.lock = lock
	}
	if journalErr != nil {
		return j.compact()
	}
	return durable.SyncPath(filepath.Dir(j.path))
}
