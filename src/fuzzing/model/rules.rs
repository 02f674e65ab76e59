//! The rules of which row a token means, and of what becomes of that row.

use super::row::Row;

/// The errors that the rules ask for.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    NothingToStore,
    UserAndClientTaken,
    OtherClient(String),
    Ambiguous(usize),
    Conflict(u64),
    NoSuchToken,
}

/// Rows in the order first saved.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.0.iter()
    }

    /// The row that the query means.
    pub(super) fn find(&self, query: &Row) -> Result<Option<Row>, Refusal> {
        Ok(self.selected(query)?.map(|place| self.0[place].clone()))
    }

    /// The place of the row that the query means: the rules of `matching`, one by one.
    fn selected(&self, query: &Row) -> Result<Option<usize>, Refusal> {
        let first = |is_meant: &dyn Fn(&Row) -> bool| self.0.iter().position(is_meant);

        // 1. An id that is stored.
        if let Some(place) = first(&|row| row.has_same("id", query)) {
            self.refuse_other_client(place, query)?;
            return Ok(Some(place));
        }
        // Another store's row: the same user name and client id, or nothing.
        if query.is_of_other_store {
            let same_client = |row: &Row| row.get("client_id") == query.get("client_id");
            return Ok(first(&|row| row.has_same("user_name", query) && same_client(row)));
        }
        // 2. A user name, with a client id or without one.
        if query.has("user_name") {
            let of_user = |row: &Row| row.has_same("user_name", query);
            if query.has("client_id") {
                let of_client = first(&|row| of_user(row) && row.has_same("client_id", query));
                let of_nobody = first(&|row| of_user(row) && !row.has("client_id") && !row.has("client_secret"));
                return Ok(of_client.or(of_nobody));
            }
            return match self.0.iter().filter(|row| of_user(row)).count() {
                0 | 1 => Ok(first(&of_user)),
                count => Err(Refusal::Ambiguous(count)),
            };
        }
        // 3. An access token without client credentials.
        if query.has("access_token") && !query.has("client_id") && !query.has("client_secret") {
            return Ok(first(&|row| row.has_same("access_token", query)));
        }
        // 4. A client id with a grant token or a refresh token.
        if query.has("client_id") && (query.has("grant_token") || query.has("refresh_token")) {
            return Ok(first(&|row| {
                row.has_same("client_id", query)
                    && (row.has_same("grant_token", query) || row.has_same("refresh_token", query))
            }));
        }
        // 5. Nothing.
        Ok(None)
    }

    fn refuse_other_client(&self, place: usize, token: &Row) -> Result<(), Refusal> {
        let row = &self.0[place];
        let is_same = row.has_same("client_id", token);
        let is_nobodys = !row.has("client_id") && !row.has("client_secret");
        if token.has("client_id") && !is_same && !is_nobodys {
            return Err(Refusal::OtherClient(row.get("id").expect("a row has an id").clone()));
        }
        Ok(())
    }

    /// The row of the token's id.
    fn of_id(&self, token: &Row) -> Result<usize, Refusal> {
        self.0.iter().position(|row| row.has_same("id", token)).ok_or(Refusal::NoSuchToken)
    }

    /// The row of the token's id, if it still has the token's revision.
    fn of_revision(&self, token: &Row) -> Result<usize, Refusal> {
        let place = self.of_id(token)?;
        match self.0[place].revision {
            current if current == token.revision => Ok(place),
            current => Err(Refusal::Conflict(current)),
        }
    }

    /// Puts a row in place of an earlier revision of it.
    fn put(&mut self, place: usize, mut row: Row) -> Result<(), Refusal> {
        let before = &self.0[place];
        row.revision = before.revision + 1;
        row.is_of_other_store = false;
        row.texts.insert("id", before.get("id").expect("a row has an id").clone());
        row.settle_expiry();
        if !row.is_storable() {
            return Err(Refusal::NothingToStore);
        }
        let others = self.0.iter().enumerate().filter(|(other, _)| *other != place);
        for (_, other) in others {
            if row.has_same("user_name", other) && row.get("client_id") == other.get("client_id") {
                return Err(Refusal::UserAndClientTaken);
            }
        }
        self.0[place] = row;
        Ok(())
    }

    /// Merges the token into the row that it means, or adds it. `last_id` is the largest number that ever was an id;
    /// the store chooses the next one.
    pub(super) fn save(&mut self, token: &Row, last_id: &mut u64) -> Result<String, Refusal> {
        let place = if token.revision > 0 {
            let place = self.of_revision(token)?;
            self.refuse_other_client(place, token)?;
            Some(place)
        } else {
            self.selected(token)?
        };
        if let Some(place) = place {
            let mut row = self.0[place].clone();
            row.lay_over(token);
            row.follow_tokens(&self.0[place], token);
            self.put(place, row)?;
            return Ok(self.0[place].get("id").expect("a row has an id").clone());
        }
        if !token.is_storable() {
            return Err(Refusal::NothingToStore);
        }
        let mut row = Row { revision: 1, is_of_other_store: false, ..token.clone() };
        row.settle_expiry();
        let id = row.texts.entry("id").or_insert((*last_id + 1).to_string()).clone();
        let number = id.parse().ok().filter(|number: &u64| number.to_string() == id);
        *last_id = number.unwrap_or(0).max(*last_id);
        self.0.push(row);
        Ok(id)
    }

    pub(super) fn replace(&mut self, token: &Row) -> Result<Row, Refusal> {
        let place = if token.revision > 0 { self.of_revision(token)? } else { self.of_id(token)? };
        let mut row = token.clone();
        row.follow_tokens(&self.0[place], token);
        self.put(place, row)?;
        Ok(self.0[place].clone())
    }

    pub(super) fn delete(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|row| row.get("id").expect("a row has an id") != id);
        before != self.0.len()
    }

    pub(super) fn delete_if(&mut self, id: &str, revision: u64) -> Result<bool, Refusal> {
        match self.0.iter().find(|row| row.get("id").expect("a row has an id") == id) {
            Some(row) if row.revision != revision => Err(Refusal::Conflict(row.revision)),
            _ => Ok(self.delete(id)),
        }
    }

    pub(super) fn delete_all(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }
}
