// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture"
)

// Outputs that are pictures are shown as their only still. They do not play, their masks are not corrected here, and
// they get no second look: the first look was as thorough.

// probePicture is probe for an output that is a picture. Of the Info, only the size of the picture matters.
func (p *proxies) probePicture(path string) (media.Info, error) {
	file, err := picture.Read(path, p.workspace.opts.Limits)
	if err != nil {
		return media.Info{}, err
	}
	return media.Info{Path: path, Width: file.Width, Height: file.Height}, nil
}

// decodePicture decodes and caches the only still of an output that is a picture.
func (s *stills) decodePicture(ctx context.Context, key stillKey) error {
	if key.frame != 0 {
		return nil
	}
	file, err := picture.Read(key.path, s.workspace.opts.Limits)
	if err != nil {
		return err
	}
	decoded, err := file.Decode(ctx, s.workspace.opts.Tools)
	if err != nil {
		return err
	}
	text, err := encode(decoded.Frames()[0], key.width)
	s.put(key, text)
	return err
}

// errPicture returns the error that the masks of a picture cannot be corrected.
func errPicture() error {
	return fmt.Errorf("%w: the masks of a picture cannot be corrected here: add what is missing with mask::regions, or "+
		"in an image editor", consoleapi.ErrConflict)
}
