// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// screenModel finds screens, in frames scaled to screenLongSide pixels on the longer side. Of 20 screens in
	// photographs (docs/masking.md), it finds 18, and 15 at the 416 pixels that it was trained with.
	screenModel    = "nanodet-m-screens"
	screenLongSide = 640
)

// openOthers opens the detector of what is masked in addition to people.
func (o *opener) openOthers() (err error) {
	if len(o.cfg.Mask.Also) == 0 {
		return nil
	}
	o.looks.others, err = o.newDetector("mask::also", screenModel, vision.DetectorOptions{LongSide: screenLongSide})
	return err
}
