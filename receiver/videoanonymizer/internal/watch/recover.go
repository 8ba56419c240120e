// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"
)

// recovery resolves, at a start, what the last run left open: jobs that it did not end, temporary files from which
// nothing can resume, and sources that were to be moved or deleted. It also gives files that were given up another
// chance.
type recovery struct {
	journal     *journal
	disposal    *disposal
	maxAttempts int
	logger      *zap.Logger
	fileMode    os.FileMode
}

// run recovers every source. A file that is missing, or that cannot be written now, does not hold up the others.
func (r *recovery) run() {
	for _, s := range r.journal.unfinished() {
		if err := r.recover(s); err != nil {
			r.logger.Warn("cannot clean up after the last run: will retry at the next start",
				zap.String("file", string(s.Path)), zap.Error(err))
		}
	}
}

func (r *recovery) recover(s source) error {
	mayResume := s.State == stateClaimed || s.State == statePending
	switch {
	case s.State == statePublishing && completePublishing(&s):
		s.State, s.Action = stateDone, r.disposal.afterSuccess(s)
		r.logger.Info("the last run finished this video",
			zap.String("file", string(s.Path)), zap.String("output", string(s.Output.Path)))
	case s.State == stateClaimed || s.State == statePublishing:
		if err := r.interrupted(&s); err != nil {
			return err
		}
	case s.GaveUp:
		s.State, s.Attempt, s.GaveUp, s.Reason, s.Error, s.Action = statePending, 0, false, "", "", ""
	}
	if s.Temp != "" && !(mayResume && s.State == statePending && mayBeUnchanged(s)) {
		if err := removeTemps(string(s.Temp)); err != nil {
			return err
		}
		s.Temp = ""
	}
	if err := r.journal.put(s); err != nil {
		return err
	}
	markSuperseded(r.journal, string(s.Path), r.fileMode, r.logger)
	r.disposal.schedule(string(s.Path))
	return nil
}

// interrupted handles an attempt that ended with the collector: the source is pending again or, after the last allowed
// attempt, failed, since it may be what killed the collector.
func (r *recovery) interrupted(s *source) error {
	if err := removeUnpublished(s.Companions); err != nil {
		return err
	}
	s.State, s.Output, s.Companions = statePending, nil, nil
	s.Crashes++
	r.logger.Warn("the collector died while processing this video: will retry",
		zap.String("file", string(s.Path)),
		zap.Int("attempt", s.Attempt))
	if s.Attempt >= r.maxAttempts {
		s.State, s.Reason, s.Action = stateFailed, ReasonCrash, r.disposal.afterFailure()
		s.Error = fmt.Sprintf("the collector died in %d of %d attempts at this video, which may be the cause",
			s.Crashes, s.Attempt)
		r.logger.Error("giving up on a video", zap.String("file", string(s.Path)), zap.String("error", s.Error))
	}
	return nil
}

// mayBeUnchanged reports whether a source is, or may be, unchanged. It may be if its whole folder is missing, since its
// disk may not be mounted yet.
func mayBeUnchanged(s source) bool {
	st, _, err := lstat(string(s.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return !mayExist(filepath.Dir(string(s.Path)))
	}
	return err != nil || st.SameFile(s.Stamp)
}

// completePublishing gives a complete output its final name, if it does not have it yet, and reports whether it has it
// now.
func completePublishing(s *source) bool {
	if s.Output == nil || s.Output.Digest == "" {
		return false
	}
	if s.Output.isAt(s.Output.Path) {
		return true
	}
	st, _, err := lstat(string(s.Path))
	unchanged := err == nil && st.SameFile(s.Stamp) || errors.Is(err, fs.ErrNotExist)
	if !unchanged || !s.Output.isAt(s.Temp) {
		return false
	}
	for _, c := range s.Companions {
		if !c.isAt(c.Path) && (!c.isAt(c.Temp) || renameDurably(string(c.Temp), string(c.Path)) != nil) {
			return false
		}
	}
	return renameDurably(string(s.Temp), string(s.Output.Path)) == nil
}

// isAt reports whether the complete file is at the path.
func (o *outputFile) isAt(path pathText) bool {
	sum, size, err := digestPath(string(path))
	return err == nil && sum == o.Digest && size == o.Size
}

// removeUnpublished removes the companion files that already have their final names, although their output never got
// its own. Other files with those names are left alone.
func removeUnpublished(companions []companionFile) error {
	var errs []error
	for _, c := range companions {
		if c.isAt(c.Path) {
			errs = append(errs, os.Remove(string(c.Path)))
		}
	}
	return errors.Join(errs...)
}
