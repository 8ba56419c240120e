// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// For is the same as the runner, with the profile of a source, or with the receiver's own configuration if none
// includes it. rel is the path below the watched folder.
func (r *Runner) For(source, rel string) *Runner {
	as := *r
	as.Config = r.Config.For(source, rel)
	if as.Config.Profile() == "" {
		return &as
	}
	p := r.Models.profiles[as.Config.Profile()]
	as.Models = r.Models.with(p.looks, p.thorough)
	as.Painter = mask.NewPainter(as.Config.Mask.PainterOptions())
	return &as
}
