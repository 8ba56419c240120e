// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// coordinate scans for videos, collects leftovers and writes the mirror as long as this worker holds the coordinator's
// claim. Two coordinators at once do no harm: they change records only by compare-and-set.
func (s *session) coordinate(ctx context.Context) {
	var duty *duty
	defer func() { duty.close() }()
	strange := false
	for ctx.Err() == nil {
		switch term, err := s.elect(ctx); {
		case errors.Is(err, errStrange) && !strange:
			strange = true
			s.logger.Warn("this machine does not coordinate the share", zap.Error(err))
		case err != nil:
			s.logger.Debug("no machine was elected to coordinate", zap.Error(err))
		case term == 0:
			duty.close()
			duty = nil
		default:
			if duty == nil || duty.mirror.term.rev != term {
				duty.close()
				duty = s.newDuty(term)
			}
			if err := duty.perform(ctx); err != nil && ctx.Err() == nil {
				duty.complain(err)
			}
		}
		_ = sleep(ctx, min(s.cfg.Lease/6, time.Second))
	}
}

// elect makes this worker the coordinator unless another live worker is. It returns the revision of the coordinator's
// record if this worker holds its claim, and otherwise 0.
func (s *session) elect(ctx context.Context) (term uint64, err error) {
	s.view.mu.Lock()
	c, synced := s.view.coordinator, s.view.synced
	vacant := c.rec.Claim == nil || s.view.dead(c.rec.Claim.Worker)
	known := 0
	if s.view.ready {
		known = len(s.view.videos)
	}
	s.view.mu.Unlock()
	switch {
	case !vacant && c.rec.Claim.Worker == s.me:
		return c.rev, nil
	case !synced, !vacant, s.tree.sees(s.me) != nil:
		return 0, nil
	}
	if journals, err := s.tree.journals(); err != nil || known > 0 && len(journals) == 0 {
		return 0, errors.Join(err, errStrange)
	}
	e := entry[holding]{key: keyCoordinator, rev: c.rev}
	e.rec.Claim = &Claim{Worker: s.me, Machine: s.opts.Machine, Since: s.opts.wall()}
	if err := write(ctx, s, &e, &e.rec); err != nil {
		return 0, err
	}
	return e.rev, nil
}

// errStrange means that root is not the folder that NATS has records of: to its coordinator, all videos would be gone.
var errStrange = errors.New("root has no journal of this share, although NATS has its videos: mount the shared " +
	"folder there; if it was emptied on purpose, stop all machines and remove the data of NATS, too")

// duty is one term as the coordinator.
type duty struct {
	*session
	mirror  *mirror
	scanned time.Time
	told    string
	ours    outputs
	// skipped maps the paths of files that are left out to the reasons.
	skipped map[string]string
}

// newDuty begins the term that starts at a revision of the coordinator's record.
func (s *session) newDuty(rev uint64) *duty {
	return &duty{
		session: s, mirror: newMirror(s.tree, term{s.store.era.number, rev}, s.me),
		ours: outputs{copies: map[string]Version{}}, skipped: map[string]string{},
	}
}

func (d *duty) close() {
	if d == nil {
		return
	}
	d.view.mu.Lock()
	d.view.news = nil
	d.view.mu.Unlock()
	d.mirror.close()
}

// complain logs an error once.
func (d *duty) complain(err error) {
	if text := err.Error(); text != d.told {
		d.told = text
		d.logger.Warn("coordinating the share failed: will retry", zap.Error(err))
	}
}

func (d *duty) perform(ctx context.Context) error {
	if !d.view.has(d.mirror.term.rev) { // first see all that the previous coordinator saw
		return nil
	}
	if err := d.rebuild(ctx); err != nil {
		return fmt.Errorf("rebuild the records from the mirror: %w", err)
	}
	if err := d.mirror.write(d.session); err != nil {
		return fmt.Errorf("write the mirror: %w", err)
	}
	if time.Since(d.scanned) < d.opts.ScanInterval {
		return nil
	}
	if err := d.scan(ctx); err != nil {
		return fmt.Errorf("look for videos: %w", err)
	}
	d.scanned = time.Now()
	if err := d.collect(ctx); err != nil {
		return fmt.Errorf("collect leftovers: %w", err)
	}
	d.told = ""
	return nil
}

// scan records videos that are new, changed or gone.
func (d *duty) scan(ctx context.Context) error {
	found, err := d.opts.Source.Scan(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	d.ours.stale = true
	for _, f := range found {
		there[videoID(f.Path)] = true
		err := d.found(ctx, f)
		switch ofFile := new(fs.PathError); {
		case errors.Is(err, errName), errors.As(err, &ofFile) && ctx.Err() == nil:
			d.skip(f.Path, err)
		case err != nil && !errors.Is(err, errFenced):
			return err
		}
	}
	for _, v := range d.videos(func(id string, v *Video) bool {
		return !there[id] && !v.State.final() && v.State != VideoPublishing
	}) {
		if _, err := os.Lstat(d.tree.abs(v.rec.Path)); !errors.Is(err, fs.ErrNotExist) || d.tree.sees(d.me) != nil {
			continue
		}
		v.rec.release()
		v.rec.State, v.rec.Since = VideoGone, d.opts.wall()
		if err := write(ctx, d.session, &v, &v.rec.holding); err != nil && !errors.Is(err, errFenced) {
			return err
		}
	}
	return nil
}

// skip logs why a file is left out, once for each reason.
func (d *duty) skip(path string, err error) {
	if text := err.Error(); d.skipped[path] != text {
		d.skipped[path] = text
		d.logger.Warn("a file is left out of the share for now", zap.String("file", d.tree.abs(path)), zap.Error(err))
	}
}

// errName means that records cannot hold a path.
var errName = errors.New("its name is not UTF-8 or not a path below root: rename it")

// found records a video unless this version of it is known.
func (d *duty) found(ctx context.Context, f Found) error {
	if !fs.ValidPath(f.Path) {
		return errName
	}
	id := videoID(f.Path)
	d.view.mu.Lock()
	known := d.view.videos[id]
	d.view.mu.Unlock()
	rec := &known.rec
	switch {
	case known.rev == 0, rec.State == VideoGone:
	case rec.Version.equal(f.Version), rec.State == VideoPublishing: // publishing finishes first
		return nil
	case rec.State == VideoDone && rec.Version.sameContent(f.Version) && d.stands(rec): // only its time changed
		return nil
	}
	if isOurs, err := d.isOutput(ctx, f); isOurs || err != nil {
		return err
	}
	now := d.opts.wall()
	e := entry[Video]{key: videoKey(id), rev: known.rev, rec: Video{
		Path: f.Path, Version: f.Version, Trace: f.Trace, State: VideoFound, Found: now, Since: now,
		Earlier: rec.everPublished(),
	}}
	if as, ok := d.movedFrom(f); ok && known.rev == 0 {
		e.rec.State, e.rec.Outputs, e.rec.Published, e.rec.Earlier = VideoDone, as.Outputs, as.Published, as.Earlier
	}
	return write(ctx, d.session, &e, &e.rec.holding)
}

// stands reports whether the masked video, the last of the outputs, still has its final name.
func (d *duty) stands(v *Video) bool {
	if len(v.Outputs) == 0 {
		return false
	}
	_, err := os.Lstat(d.tree.abs(v.Outputs[len(v.Outputs)-1].Name))
	return err == nil
}

// videos returns the videos for which as is true.
func (s *session) videos(as func(id string, v *Video) bool) (some []entry[Video]) {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	for id, v := range s.view.videos {
		if as(id, &v.rec) {
			some = append(some, v.entry)
		}
	}
	return some
}

// collect removes what late or dead workers left behind: folders of final videos, units of obsolete plans, the workers'
// records and probes, and journals of earlier coordinators.
func (d *duty) collect(ctx context.Context) error {
	if err := d.confirm(ctx); err != nil {
		return err
	}
	return errors.Join(
		d.mirror.removeEarlier(d.cfg.Lease), d.collectFolders(ctx), d.collectPlans(ctx), d.collectWorkers(ctx))
}

// confirm makes sure that this worker still coordinates the share. If its era is over, its records know nothing about
// the files it collects, and it would remove those of the next era.
func (d *duty) confirm(ctx context.Context) error {
	_, _, err := d.store.get(ctx, keyBorn)
	if err == nil {
		var text []byte
		var there holding
		if text, _, err = d.store.get(ctx, keyCoordinator); err == nil {
			err = decodeInto(text, &there)
		}
		if err == nil && (there.Claim == nil || there.Claim.Worker != d.me) {
			return errFenced
		}
	}
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return errEra
	}
	return err
}

func (d *duty) collectFolders(ctx context.Context) error {
	entries, err := os.ReadDir(d.tree.works())
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), "-")
		text, _, err := d.store.get(ctx, videoKey(id))
		var v Video
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			if err := d.confirm(ctx); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			if err := decodeInto(text, &v); err != nil {
				return err
			}
			if !v.State.final() && workName(&v) == e.Name() {
				continue
			}
		}
		if err := os.RemoveAll(filepath.Join(d.tree.works(), e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// collectPlans purges the units of obsolete plans, except plans whose claim still stands.
func (d *duty) collectPlans(ctx context.Context) error {
	var strays []plan
	d.view.mu.Lock()
	for p := range d.view.units {
		v := d.view.videos[p.video]
		if v.rev > p.epoch && v.rec.Plan != p.epoch && v.rec.epochOf(v.rev) != p.epoch {
			strays = append(strays, p)
		}
	}
	d.view.mu.Unlock()
	for _, p := range strays {
		if err := d.store.purge(ctx, p.keys()); err != nil {
			return err
		}
		d.view.mu.Lock()
		delete(d.view.units, p)
		d.view.mu.Unlock()
	}
	return nil
}

// keepDied is how long a machine that died and has not come back is remembered, so that the operator hears of it.
const keepDied = 24 * time.Hour

// collectWorkers removes the records and probes of workers that have been dead for a long time.
func (d *duty) collectWorkers(ctx context.Context) error {
	var dead []string
	d.view.mu.Lock()
	newest := d.view.newest()
	for id, w := range d.view.workers {
		keep := 20 * d.store.lease
		if !w.rec.Left && !w.rec.Since.Before(newest[w.rec.Name]) {
			keep = max(keep, keepDied)
		}
		if d.view.dead(id) && d.view.echo.Sub(w.at) > keep {
			dead = append(dead, id)
		}
	}
	d.view.mu.Unlock()
	for _, id := range dead {
		if err := d.store.purge(ctx, kindWorker+"."+id); err != nil {
			return err
		}
		d.view.mu.Lock()
		delete(d.view.workers, id)
		d.view.mu.Unlock()
		d.tree.leave(id)
	}
	return nil
}
