// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Journal is the information about sources, such as a watch.Watcher.
type Journal interface {
	Known() []watch.Known
	Forget(paths ...string) error
}

// Keeper removes files and journal entries past their retention period. It never removes a source and, unless
// configured to, no output without a decision.
type Keeper struct {
	Retention config.Retention
	Places    Places
	Journal   Journal
	// Record adds an entry to the audit log.
	Record func(audit.Entry) error
	Logger *zap.Logger
}

// keeperInterval is the interval between two passes.
const keeperInterval = time.Hour

// Loop runs a pass now and every hour, until the context ends.
func (k *Keeper) Loop(ctx context.Context) {
	ticker := time.NewTicker(keeperInterval)
	defer ticker.Stop()
	for {
		if err := k.Pass(ctx, time.Now()); err != nil && ctx.Err() == nil {
			k.Logger.Error("files that have reached their age (retention) cannot be removed: will retry in an hour",
				zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Pass removes everything that is past its retention period at the given time.
func (k *Keeper) Pass(ctx context.Context, now time.Time) error {
	return errors.Join(k.outputs(ctx, now), k.journal(now), k.telemetry(now))
}

// outputs removes outputs and reports.
func (k *Keeper) outputs(ctx context.Context, now time.Time) error {
	if k.Retention.Outputs == 0 && k.Retention.Reports == 0 {
		return nil
	}
	decided, err := audit.Decisions(filepath.Join(k.Places.State, audit.DirectoryName))
	if err != nil {
		return fmt.Errorf("no outputs are removed, since it is uncertain who decided on them: %w", err)
	}
	all, err := inventory(k.Places.Outputs, k.Journal.Known())
	if err != nil {
		return err
	}
	var errs []error
	for _, v := range videosOf(all) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		age := now.Sub(v.made())
		expired := k.Retention.Outputs > 0 && age >= k.Retention.Outputs
		if !expired && (k.Retention.Reports == 0 || age < k.Retention.Reports) {
			continue
		}
		latest := v.latest()
		if !k.Retention.Unreviewed && !k.holds(ctx, latest, decided) {
			continue
		}
		switch {
		case expired && slices.ContainsFunc(v, func(o output) bool { return o.replaced(ctx) }): // may be another video's
		case expired:
			for _, o := range v {
				errs = append(errs, k.expire(o))
			}
		case len(v) == 1 && latest.report != nil && latest.report.Revision == nil:
			errs = append(errs, k.expireReport(latest))
		} // reports of corrected outputs are kept: they say which outputs belong together
	}
	return errors.Join(errs...)
}

// video is an output and its revisions, latest last.
type video []output

// videosOf groups outputs by video. The outputs must be ordered by path.
func videosOf(all []output) (videos []video) {
	// first contains indexes by SHA-256 and path of the first revision, because other outputs may have the same content.
	first := map[[2]string]int{}
	for _, o := range all {
		if o.report != nil && o.report.Revision == nil {
			first[[2]string{o.report.Output.SHA256, o.path}] = len(videos)
		}
		if o.report == nil || o.report.Revision == nil {
			videos = append(videos, video{o})
		}
	}
	for _, o := range all {
		if o.report == nil || o.report.Revision == nil {
			continue
		}
		r, extension := o.report.Revision, filepath.Ext(o.path)
		of := strings.TrimSuffix(o.path, "."+r.ID+extension) + extension
		if i, ok := first[[2]string{r.First, of}]; ok {
			videos[i] = append(videos[i], o)
		} else {
			videos = append(videos, video{o})
		}
	}
	for _, v := range videos {
		slices.SortStableFunc(v[1:], func(a, b output) int { return a.report.Created.Compare(b.report.Created) })
	}
	return videos
}

// made returns the time when the latest output was produced, or the current time if it is unknown.
func (v video) made() (at time.Time) {
	for _, o := range v {
		for _, s := range o.sources {
			if s.Output.Path == o.path && s.Updated.After(at) {
				at = s.Updated
			}
		}
		if o.report != nil && o.report.Created.After(at) {
			at = o.report.Created
		}
	}
	if at.IsZero() {
		return time.Now()
	}
	return at
}

// latest returns the latest output that exists, or the latest one if none does.
func (v video) latest() output {
	for _, o := range slices.Backward(v) {
		if mayExist(o.path) {
			return o
		}
	}
	return v[len(v)-1]
}

// replaced reports whether the file is not the output that the report or, without one, the journal describes.
func (o output) replaced(ctx context.Context) bool {
	if !mayExist(o.path) {
		return false
	}
	if o.report != nil {
		file, err := report.Identify(ctx, o.path)
		return err != nil || file.SHA256 != o.report.Output.SHA256
	}
	return slices.ContainsFunc(o.sources, func(s watch.Known) bool {
		return s.Output.Path == o.path && s.Output.Intact() != nil
	})
}

// holds reports whether there is a decision on the output in its current state. An output that is gone needs none.
func (k *Keeper) holds(ctx context.Context, o output, decided map[string]audit.Entry) bool {
	if _, err := os.Lstat(o.path); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	e, ok := decided[relative(k.Places.Outputs, o.path)]
	if !ok {
		return false
	}
	file, err := report.Identify(ctx, o.path)
	return err == nil && file.SHA256 == e.OutputSHA256
}

// expire removes an output, and then its companions. The report comes last: as long as it exists, the next pass tries
// again.
func (k *Keeper) expire(o output) error {
	t := target{places: k.Places, known: o.sources, outputs: []output{o}}
	approved, files, reports := t.files()
	files = slices.DeleteFunc(files, func(path string) bool { return path == o.path })
	return k.remove(o, audit.Expired, "output", slices.Concat(approved, there([]string{o.path}), files, reports))
}

// expireReport removes the report, contact sheet and preview of an output.
func (k *Keeper) expireReport(o output) error {
	return k.remove(o, audit.ReportExpired, "report", there([]string{anonymize.PreviewPath(o.path),
		report.SheetPath(o.path), report.Path(o.path)}))
}

func (k *Keeper) remove(o output, action, what string, files []string) error {
	if len(files) == 0 {
		return nil
	}
	for _, path := range files {
		if err := durable.RemoveIfThere(path); err != nil {
			return err
		}
	}
	k.Logger.Info("removed what has reached its age (retention)", zap.String("what", what), zap.String("output", o.path),
		zap.Strings("files", files))
	return k.Record(audit.Entry{Actor: "retention", Role: "system", Action: action,
		Output: relative(k.Places.Outputs, o.path)})
}

// journal removes the entries of sources that no longer exist from the journal.
func (k *Keeper) journal(now time.Time) error {
	if k.Retention.Journal == 0 {
		return nil
	}
	var paths []string
	for _, s := range k.Journal.Known() {
		if !s.Final || now.Sub(s.Updated) < k.Retention.Journal {
			continue
		}
		all := append(append([]string{s.Path}, s.Companions...), s.Previous...)
		if s.Output.Path != "" {
			all = append(all, s.Output.Path)
		}
		if !slices.ContainsFunc(all, mayExist) {
			paths = append(paths, all...)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	k.Logger.Info("forgot sources that are gone (retention::journal)", zap.Int("paths", len(paths)))
	return k.Journal.Forget(paths...)
}

// mayExist reports whether the path exists, or may exist because that cannot be determined.
func mayExist(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// telemetry removes files of telemetry that no program writes to. Other files that match the patterns are kept.
func (k *Keeper) telemetry(now time.Time) error {
	if k.Retention.Telemetry == 0 {
		return nil
	}
	var errs []error
	for _, pattern := range k.Retention.TelemetryFiles {
		files, err := doublestar.FilepathGlob(pattern)
		errs = append(errs, err)
		for _, path := range files {
			errs = append(errs, k.removeTelemetry(path, now))
		}
	}
	return errors.Join(errs...)
}

func (k *Keeper) removeTelemetry(path string, now time.Time) error {
	file, err := durable.Open(path, os.O_RDONLY)
	if errors.Is(err, durable.ErrNotRegular) || errors.Is(err, syscall.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || now.Sub(info.ModTime()) < k.Retention.Telemetry || !isTelemetry(file) || writtenTo(file) {
		return err
	}
	k.Logger.Info("removed what has reached its age (retention)", zap.String("what", "telemetry"),
		zap.String("file", path))
	return durable.RemoveIfThere(path)
}
