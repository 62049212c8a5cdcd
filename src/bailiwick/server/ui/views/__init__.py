"""What each page shows: functions from a request to the values of its template. Reading only."""
