// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// file is a temporary file, and its final path.
type file struct{ temp, path string }

// describe creates the companion files of the video at b.temp.
func (r *run) describe(ctx context.Context, b *bundle) ([]file, error) {
	recorder, err := report.NewRecorder(b.named(".frames.json"))
	if err != nil {
		return nil, err
	}
	defer recorder.Close()
	err = r.first.Frames(0, len(r.pts), func(rec *record.Frame) error {
		m := r.live.Apply(rec)
		rec.WholeFrameMasked, rec.Bodies = m.Whole, m.Bodies
		rec.Heads = append(append([]mask.Head{}, m.Heads...), m.Added...)
		return recorder.Add(rec)
	})
	if err != nil {
		return nil, err
	}
	about, err := r.about(ctx, b.temp)
	if err != nil {
		return nil, err
	}
	made := []file{{b.named(".report.json"), report.Path(r.path)}, {b.named(".edits.json"), edits.Path(r.path)}}
	weakest := recorder.Weakest()
	if err := recorder.Write(made[0].temp, about); err != nil {
		return nil, err
	}
	text, err := r.Edits.Encode()
	if err == nil {
		err = durable.WriteFile(made[1].temp, text, durable.Private)
	}
	if err != nil || r.Tiles == 0 {
		return made, err
	}
	sheet := file{b.named(".review.jpg"), report.SheetPath(r.path)}
	switch err := report.WriteSheet(ctx, r.Tools, b.temp, sheet.temp, weakest, r.Tiles); {
	case err == nil:
		made = append(made, sheet)
	case ctx.Err() != nil:
		return nil, err
	} // without a sheet, the report has the same information in numbers
	return made, nil
}

func (r *run) about(ctx context.Context, temp string) (report.About, error) {
	output, err := report.Identify(ctx, temp)
	if err != nil {
		return report.About{}, err
	}
	output.Name = filepath.Base(r.path)
	samples, err := watch.Describe(temp)
	if err != nil {
		return report.About{}, err
	}
	about := r.first.About
	about.Program, about.Output, about.Segments = r.Program, output, r.segments
	about.Revision = &report.Revision{
		ID: ID(r.number), Base: r.baseFile, BaseReport: r.reportHash, First: r.firstHash, Samples: samples.Digest,
		Operations: len(r.Edits.Operations), From: r.from, Encoded: r.encoded,
	}
	return about, nil
}

// bundle is the set of files of a revision while it is made. They have hidden names in the final folder. The intent, a
// file on which a lock is held, lists them while they are renamed.
type bundle struct {
	temp   string // the video
	mode   os.FileMode
	intent *os.File
}

// intentSuffix is the suffix of an intent's name.
const intentSuffix = ".render.json"

// intent lists the files to publish, in order: the video comes last.
type intent struct {
	Files []intentFile `json:"files"`
}

type intentFile struct {
	Path   string `json:"path"` // name in the same folder
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

func newBundle(path string, mode os.FileMode) (*bundle, error) {
	b := &bundle{temp: watch.NewTemp(path), mode: mode}
	var err error
	if b.intent, err = durable.Create(b.named(intentSuffix)); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(b.intent.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		b.discard()
		return nil, fmt.Errorf("lock %s: %w", b.intent.Name(), err)
	}
	return b, nil
}

func (b *bundle) named(suffix string) string {
	return strings.TrimSuffix(b.temp, filepath.Ext(b.temp)) + suffix
}

// discard removes the files that do not have their final names.
func (b *bundle) discard() {
	_ = watch.RemoveTemps(b.temp)
	_ = b.intent.Close()
}

// publish gives complete files their final names. The last one, the video, gets its name when all others have theirs.
func (b *bundle) publish(files []file, own func(temp, path string) error) error {
	var what intent
	for _, f := range files {
		opened, err := durable.Open(f.temp, os.O_RDONLY)
		if err != nil {
			return err
		}
		durable.Share(opened, b.mode)
		if err := errors.Join(durable.Sync(opened), opened.Close()); err != nil {
			return err
		}
		d, err := watch.Describe(f.temp)
		if err != nil {
			return err
		}
		what.Files = append(what.Files, intentFile{filepath.Base(f.path), d.Size, d.Digest})
	}
	text, err := json.Marshal(what)
	if err == nil {
		_, err = b.intent.Write(text)
	}
	if err := errors.Join(err, durable.Sync(b.intent), durable.SyncPath(filepath.Dir(b.temp))); err != nil {
		return err
	}
	for i, f := range files {
		if own != nil && i == len(files)-1 {
			err = own(f.temp, f.path)
		}
		if err == nil {
			err = watch.RenameNew(f.temp, f.path)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("publish: %w", err), what.undo(filepath.Dir(f.path)))
		}
	}
	return nil
}

// isAt reports whether the file exists in a folder.
func (f *intentFile) isAt(folder string) bool {
	o := watch.Output{Path: filepath.Join(folder, f.Path), Size: f.Size, Digest: f.Digest}
	return o.Intact() == nil
}

// undo removes the files that have their final names, unless the video is among them. It leaves other files with these
// names alone.
func (i *intent) undo(folder string) error {
	if len(i.Files) == 0 || i.Files[len(i.Files)-1].isAt(folder) {
		return nil
	}
	var errs []error
	for _, f := range i.Files {
		if f.Path == filepath.Base(f.Path) && f.isAt(folder) {
			errs = append(errs, os.Remove(filepath.Join(folder, f.Path)))
		}
	}
	return errors.Join(errs...)
}

// Recover removes from a folder what killed renderings left behind, so that a revision exists completely or not at all.
func Recover(folder string) error {
	left, err := filepath.Glob(filepath.Join(escape(folder), ".anonymizing-*"+intentSuffix))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range left {
		errs = append(errs, recoverOne(path))
	}
	return errors.Join(errs...)
}

// escape returns the pattern that matches only the path itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func recoverOne(path string) error {
	f, err := durable.Open(path, os.O_RDWR)
	if err != nil {
		return nil // removed, or not ours
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // a rendering is in progress
	}
	text, err := durable.ReadFile(path)
	if err != nil {
		return err
	}
	var what intent
	if json.Unmarshal(text, &what) == nil {
		if err := what.undo(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return watch.RemoveTemps(path)
}
