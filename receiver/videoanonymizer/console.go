// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"go.opentelemetry.io/collector/component"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pseudonym"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/workspace"
)

// attachment is a workspace attached to a console.
type attachment struct {
	workspace *workspace.Workspace
	leave     func(context.Context) error
	forget    func()
}

// consoles returns the console that shows the receiver's work or, with share, the machines. Both are nil if no console
// is configured.
func (r *videoReceiver) consoles(host component.Host) (work consoleapi.Console, machines consoleapi.ShareConsole,
	err error) {
	if r.cfg.Share == nil {
		work, err = consoleapi.Find[consoleapi.Console](host, r.cfg.Console)
	} else {
		machines, err = consoleapi.Find[consoleapi.ShareConsole](host, r.cfg.Console)
	}
	return work, machines, err
}

// attach shows the receiver's work in a console.
func (r *videoReceiver) attach(console consoleapi.Console, runner *anonymize.Runner,
	names *pseudonym.Names) (*attachment, error) {
	outputs, err := filepath.Abs(r.cfg.Output.Directory)
	if err == nil {
		outputs, err = filepath.EvalSymlinks(outputs)
	}
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	approved := r.cfg.Review.ApprovedDirectory
	if approved != "" {
		if approved, err = filepath.Abs(approved); err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
	}
	w, err := workspace.New(workspace.Options{
		Receiver:        r.set.ID.String(),
		Watcher:         r.watcher,
		Emitter:         r.emitter,
		Recent:          r.recent,
		Tools:           r.tools,
		Limits:          r.cfg.Limits,
		Directory:       filepath.Join(r.cfg.Output.StatePath(), audit.DirectoryName),
		OutputDirectory: outputs,
		FileMode:        r.cfg.Output.Mode(),
		Pseudonym:       names.In,
		SecondLook:      runner.SecondLook,
		Render: render.Options{
			Program: runner.Program, Mode: r.cfg.Output.Mode(), Tiles: sheetTiles(r.cfg), Device: r.cfg.Tools.VAAPIDevice,
			Read: media.ReadOptions{Decoder: r.cfg.Tools.Decoder, Device: r.cfg.Tools.VAAPIDevice},
		},
		TwoPeople:         r.cfg.Review.TwoPeople,
		ApprovedDirectory: approved,
		Logger:            r.set.Logger,
	})
	if err != nil {
		return nil, err
	}
	leave, err := console.Attach(r.set.ID, w)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("console: %w", err), w.Close())
	}
	r.shown.Store(w)
	return &attachment{workspace: w, leave: leave, forget: func() { r.shown.Store(nil) }}, nil
}

// detach undoes attach. It waits for requests in progress until the context ends.
func (a *attachment) detach(ctx context.Context) error {
	a.forget()
	return errors.Join(a.leave(ctx), a.workspace.Close())
}

// changed tells the console and the notifier that a video may have changed.
func (r *videoReceiver) changed() {
	if n := r.told.Load(); n != nil {
		n.Changed()
	}
	if w := r.shown.Load(); w != nil {
		w.Notify()
	}
}

// sheetTiles returns the maximum number of tiles on a contact sheet, 0 for no sheet.
func sheetTiles(cfg *Config) int {
	if !cfg.Report.ContactSheet {
		return 0
	}
	return cfg.Report.Tiles
}
