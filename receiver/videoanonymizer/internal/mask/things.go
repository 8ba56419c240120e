// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

// Thing is a kind of object that can be masked besides people.
type Thing string

const (
	// Screens are televisions, monitors, laptops, tablets and phones.
	Screens Thing = "screens"
	// Plates are license plates, which no model finds yet.
	Plates Thing = "plates"
)

// Things are the kinds that models find.
var Things = []Thing{Screens}
