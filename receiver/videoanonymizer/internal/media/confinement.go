// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
)

// Confine returns tools whose programs start with almost no rights: they can open the files that they get and the
// libraries that they consist of, but no other file, no socket and no process. mode is one of confine.Modes. If this
// system cannot remove all these rights, or the programs do not work without them, Confine fails with ErrTool for
// confine.Require, and otherwise removes what it can: see Confined. It also fails if check fails for programs with all
// rights; a nil check checks nothing.
func (t Tools) Confine(ctx context.Context, mode string, check func(Tools) error) (Tools, error) {
	t.confinement, t.unconfined = confine.Confinement{}, errors.New("tools::confine is off")
	if mode == confine.Off {
		return t, t.work(ctx, check)
	}
	confined := t
	confined.confinement = confine.Find()
	confined.unconfined = confined.confinement.Missing()
	err := confined.work(ctx, check)
	switch {
	case err == nil && (mode == confine.Auto || confined.unconfined == nil):
		return confined, nil
	case err == nil:
		return t, fmt.Errorf("%w: tools::confine is require, but %w: write auto to do without it",
			ErrTool, confined.unconfined)
	}
	if err := t.work(ctx, check); err != nil {
		return t, err
	}
	if mode == confine.Require {
		return t, fmt.Errorf("%w: tools::confine is require, but they only work with all rights: %w: write auto to do "+
			"without", ErrTool, err)
	}
	t.unconfined = fmt.Errorf("they only work with all rights: %w", err)
	return t, nil
}

// work fails if a program does not run, or check fails.
func (t Tools) work(ctx context.Context, check func(Tools) error) error {
	if err := t.run(ctx); err != nil || check == nil {
		return err
	}
	return check(t)
}

// run runs both programs.
func (t Tools) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	for _, path := range []string{t.FFmpeg, t.FFprobe} {
		if _, err := t.output(ctx, path, []string{"-version"}, streams{}, bounds{}, nil); err != nil {
			return fmt.Errorf("%s does not run: %w", path, err)
		}
	}
	return nil
}

// Confined returns which rights Confine removed, "" for none, and why it did not remove all of them, or nil.
func (t Tools) Confined() (holds string, missing error) { return t.confinement.String(), t.unconfined }
